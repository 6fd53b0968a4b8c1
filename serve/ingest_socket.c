#include "serve/ingest_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/control.h"

int ingest_socket_connect(const char *runtime)
{
    struct sockaddr_un address;
    if (!control_address(runtime, &address)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return -1; }
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) { return fd; }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}
