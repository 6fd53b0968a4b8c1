/* replay_main.c - stands in for libFuzzer: runs every file of the folders given, once.
 *
 * So each build, sanitized or not, replays the seed corpora and past findings as a plain test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len_bytes);

static int replay_file(const char *path)
{
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    struct stat stat;
    if (fstat(fileno(file), &stat) != 0) { abort(); }
    const size_t len_bytes = (size_t)stat.st_size;
    /* An exact-size block: the address sanitizer sees one byte too far. */
    uint8_t *const bytes = malloc(len_bytes > 0 ? len_bytes : 1);
    if (bytes == NULL || fread(bytes, 1, len_bytes, file) != len_bytes) { abort(); }
    fclose(file);
    (void)LLVMFuzzerTestOneInput(bytes, len_bytes);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *const folder = opendir(argv[i]);
        if (folder == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
            char path[4096];
            if (entry->d_name[0] == '.') { continue; }
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (replay_file(path) != 0) { return 1; }
            files++;
        }
        closedir(folder);
    }
    printf("%d inputs replayed\n", files);
    return files > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
