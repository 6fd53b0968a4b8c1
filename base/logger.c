#include "base/logger.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one process-wide state of base: where the process's lines go is a fact of the process. */
static struct {
    const char *program;
    enum log_level least;
    bool journald;
} logger = {.program = "penstock", .least = LOG_LEVEL_NOTICE, .journald = false};

void logger_init(const char *program, enum log_level least)
{
    logger.program = program;
    logger.least = least;
    logger.journald = getenv("JOURNAL_STREAM") != NULL;
}

void logger_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "notice", "debug"};
    static const char *const priorities[] = {"<3>", "<4>", "<5>", "<7>"};
    enum { LINE_BYTES_MAX = 4096 };
    char line[LINE_BYTES_MAX];

    if (level > logger.least) { return; }

    int len_bytes =
        snprintf(line, sizeof line, "%s%s: %s: ", logger.journald ? priorities[level] : "",
                 logger.program, names[level]);
    va_list arguments;
    va_start(arguments, format);
    len_bytes += vsnprintf(line + len_bytes, sizeof line - (size_t)len_bytes, format, arguments);
    va_end(arguments);

    if (len_bytes > LINE_BYTES_MAX - 2) { len_bytes = LINE_BYTES_MAX - 2; }
    line[len_bytes++] = '\n';
    const ssize_t written = write(STDERR_FILENO, line, (size_t)len_bytes);
    (void)written; /* nowhere is left to report it */
}
