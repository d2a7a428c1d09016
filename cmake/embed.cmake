# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUT= -DSYMBOL= -DOUTPUT= -P embed.cmake: a text file as a C string.
file(READ ${INPUT} text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
get_filename_component(name ${INPUT} NAME)
file(WRITE ${OUTPUT} "/* Generated from ${name}. */\nstatic const char ${SYMBOL}[] =\n    \"${text}\";\n")
