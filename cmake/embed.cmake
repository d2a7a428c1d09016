# SPDX-License-Identifier: Apache-2.0
# Makes a C header with the text of a file as a string constant.
#   cmake -DIN=schema.sql -DOUT=schema_sql.h -DNAME=schema_sql -P embed.cmake
file(READ "${IN}" text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
get_filename_component(source "${IN}" NAME)
file(WRITE "${OUT}" "/* Made from ${source}. */\nstatic const char ${NAME}[] =\n    \"${text}\";\n")
