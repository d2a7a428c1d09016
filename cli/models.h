/* SPDX-License-Identifier: Apache-2.0 */
/* Presets: the norms of known models, in Lua files of one folder. A spec called MODEL__NORM is a
 * norm of that model in bf16, MODEL_f32__NORM and MODEL_f16__NORM in those types; a name writes '.'
 * between digits as 'p' and '-' as '_' (qwen2.5-7b is qwen2p5_7b). */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "spec.h"

/* The types of presets, the first one without a suffix, ended by NULL. */
extern const char *const cli_model_types[];

/* Adds the norms of a model in type cli_model_types[type] to *list. CLI_FAILED, after saying so,
 * when there is no such model (with the names nearest to it) or no folder of presets. */
int cli_model_read(const char *model, int64_t type, ng_spec_list *list);
/* Adds every preset; names are sorted by file. */
int cli_models_read_all(ng_spec_list *list);

/* How people write the model of a preset's name: "llama-3.2-1b" of "llama_3p2_1b__norm". */
#define CLI_MODEL_TEXT 64
void cli_model_text(const char *name, char text[CLI_MODEL_TEXT]);
/* The norm's part of a preset's name: "norm" of "llama_3p2_1b__norm". */
const char *cli_model_norm(const char *name);

#endif
