#include "serve/runtime_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mapped_file.h"

enum { PATH_BYTES = 4096 };

struct runtime_pages {
    const char *runtime;
    struct mapped_file node;
    struct mapped_file stats[ROOT_PARTITIONS_MAX];
    struct mapped_file rules;
    struct rules_view rules_view; /* of it, while it is mapped */
};

struct runtime_pages *runtime_pages_create(const char *runtime)
{
    struct runtime_pages *const pages = calloc(1, sizeof *pages);
    if (pages != NULL) { pages->runtime = runtime; }
    return pages;
}

void runtime_pages_destroy(struct runtime_pages *pages)
{
    if (pages == NULL) { return; }
    mapped_file_close(&pages->node);
    mapped_file_close(&pages->rules);
    for (size_t i = 0; i < ROOT_PARTITIONS_MAX; i++) { mapped_file_close(&pages->stats[i]); }
    free(pages);
}

static enum status check_node(const struct mapped_file *file)
{
    return node_page_check((const struct node_page *)file->at, file->size_bytes);
}

static enum status check_stats(const struct mapped_file *file)
{
    return stats_page_check((const struct stats_page *)file->at, file->size_bytes);
}

static enum status check_rules(const struct mapped_file *file)
{
    struct rules_view view;
    return rules_view_open(file->at, file->size_bytes, &view);
}

static void refresh_file(const struct runtime_pages *pages, const char *name, size_t size_bytes,
                         enum status (*check)(const struct mapped_file *), struct mapped_file *file)
{
    char path[PATH_BYTES];
    struct stat stat_now;
    snprintf(path, sizeof path, "%s/%s", pages->runtime, name);
    const bool there = stat(path, &stat_now) == 0;
    if (file->at != NULL && there && stat_now.st_ino == file->inode) { return; }

    mapped_file_close(file);
    if (!there || mapped_file_open(path, false, size_bytes, file) != STATUS_OK) { return; }
    if (check(file) != STATUS_OK) { mapped_file_close(file); }
}

/* Its facts are looked at again each time: what is read by them stays inside the mapping. */
static void refresh_rules(struct runtime_pages *pages)
{
    struct mapped_file *const file = &pages->rules;
    refresh_file(pages, RULES_PAGE_FILE_NAME, sizeof(struct rules_page_header), check_rules, file);
    if (file->at == NULL) { return; }
    if (rules_view_open(file->at, file->size_bytes, &pages->rules_view) != STATUS_OK) {
        mapped_file_close(file);
    }
}

void runtime_pages_refresh(struct runtime_pages *pages, uint32_t partition_count)
{
    refresh_file(pages, NODE_PAGE_FILE_NAME, sizeof(struct node_page), check_node, &pages->node);
    refresh_rules(pages);
    for (uint32_t i = 0; i < ROOT_PARTITIONS_MAX && i < partition_count; i++) {
        char name[STATS_NAME_BYTES];
        stats_page_file_name(i, name);
        refresh_file(pages, name, sizeof(struct stats_page), check_stats, &pages->stats[i]);
    }
}

const struct stats_page *runtime_pages_stats(const struct runtime_pages *pages, uint32_t partition)
{
    return partition < ROOT_PARTITIONS_MAX ? (const struct stats_page *)pages->stats[partition].at
                                           : NULL;
}

const struct node_page *runtime_pages_node(const struct runtime_pages *pages)
{
    return (const struct node_page *)pages->node.at;
}

const struct rules_view *runtime_pages_rules(const struct runtime_pages *pages)
{
    return pages->rules.at != NULL ? &pages->rules_view : NULL;
}
