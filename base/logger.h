/* logger.h - lines for the operator, on stderr.
 *
 * One line an event: `penstock-ingest: warning: text`, with a journald priority `<4>` in front when
 * the stream is journald's (JOURNAL_STREAM is set). Any thread but a polling core: that one posts a
 * note (note.h) and the main core writes the line. Each line is one write(2), so lines of several
 * processes never mix. */
#pragma once

#include "base/compiler.h"

BEGIN_C_DECLS

enum log_level {
    LOG_LEVEL_ERROR,   /* someone must act */
    LOG_LEVEL_WARNING, /* something is worse than it should be; works on */
    LOG_LEVEL_NOTICE,  /* a change of state worth a line: started, rolled, recovered */
    LOG_LEVEL_DEBUG,   /* off unless asked for */
};

/* Once, before any thread starts. `program` must live as long as the process. */
void logger_init(const char *program, enum log_level least);

void logger_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   logger_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) logger_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  logger_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...)   logger_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

END_C_DECLS
