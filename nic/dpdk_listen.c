#include "nic/dpdk_listen.h"

#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

void dpdk_listener_init(struct dpdk_listener *listener)
{
    memset(listener, 0, sizeof *listener);
    listener->stream = open_memstream(&listener->memory, &listener->memory_bytes);
    if (listener->stream == NULL) { return; }
    if (rte_openlog_stream(listener->stream) == 0) { return; }
    fclose(listener->stream);
    free(listener->memory);
    memset(listener, 0, sizeof *listener);
}

void dpdk_listener_deinit(struct dpdk_listener *listener)
{
    if (listener->stream == NULL) { return; }
    (void)rte_openlog_stream(NULL); /* back to stderr: cannot fail */
    fclose(listener->stream);

    const size_t line_bytes = strcspn(listener->memory, "\n");
    snprintf(listener->text, sizeof listener->text, "%.*s", (int)line_bytes, listener->memory);
    free(listener->memory);
    listener->stream = NULL;
    listener->memory = NULL;
}
