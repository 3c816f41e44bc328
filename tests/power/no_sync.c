/* The negative control's lie: preloaded into the server, it answers "synced" to every sync, or only to those of directories,
 * and does nothing. It sits outside the server, so that no build of Longshore can be told to lie. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int lies_about(int fd)
{
    const char *lie = getenv("NO_SYNC_OF");
    struct stat found;
    if (lie == NULL)
        return 0;
    if (strcmp(lie, "everything") == 0)
        return 1;
    return strcmp(lie, "directories") == 0 && fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}

int fsync(int fd)
{
    return lies_about(fd) ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return lies_about(fd) ? 0 : (int)syscall(SYS_fdatasync, fd);
}
