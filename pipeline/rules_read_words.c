/* What stands in a rules file instead of a word that we know. */
#include <stdio.h>
#include <string.h>

#include "pipeline/rules_reading.h"

static size_t count_words(const char *const *words)
{
    size_t count = 0;
    while (words[count] != NULL) { count++; }
    return count;
}

static int find_word(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) { return (int)i; }
    }
    return -1;
}

/* "syslog.host" means "syslog.hostname" and "syslog.appname" means "syslog.app", however few
 * letters another name is away. Of a name that is longer, half must be right. */
static const char *nearest_word(const char *word, const char *const *known, size_t known_count)
{
    const size_t word_bytes = strlen(word);
    for (size_t i = 0; i < known_count && word_bytes > 0; i++) {
        if (strncmp(known[i], word, word_bytes) == 0) { return known[i]; }
    }

    const char *front = NULL;
    size_t front_bytes = word_bytes / 2;
    for (size_t i = 0; i < known_count; i++) {
        const size_t known_bytes = strlen(known[i]);
        if (known_bytes <= front_bytes || strncmp(known[i], word, known_bytes) != 0) { continue; }
        front = known[i];
        front_bytes = known_bytes;
    }
    return front != NULL ? front : yaml_nearest(word, known, known_count);
}

enum { LISTED_BYTES = 256 };

/* "value, key, syslog.facility"; what is beyond the room becomes "...". */
static const char *list_words(const char *const *words, size_t count, char out[LISTED_BYTES])
{
    size_t used_bytes = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const size_t word_bytes = strlen(words[i]);
        if (word_bytes > LISTED_BYTES - used_bytes - sizeof ", , ...") {
            strcpy(out + used_bytes, i > 0 ? ", ..." : "...");
            break;
        }
        used_bytes += (size_t)sprintf(out + used_bytes, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return out;
}

void rules_refuse_unknown(const struct rules_reading *reading, struct file_place place,
                          const char *of_what, const char *word, const char *const *known,
                          size_t known_count)
{
    const char *const nearest = nearest_word(word, known, known_count);
    if (nearest != NULL) {
        rules_refuse(reading, place, "no such %s: '%s'; did you mean '%s'?", of_what, word,
                     nearest);
    } else {
        char list[LISTED_BYTES];
        rules_refuse(reading, place, "no such %s: '%s'; there %s %s", of_what, word,
                     known_count == 1 ? "is" : "are", list_words(known, known_count, list));
    }
}

void rules_check_keys(const struct rules_reading *reading, const struct yaml_node *map,
                      const char *of_what, const char *const *known)
{
    const size_t known_count = count_words(known);
    for (size_t i = 0; i < map->child_count && !rules_reading_is_over(reading); i++) {
        const struct yaml_node *const key = map->keys[i];
        if (find_word(known, known_count, key->text) >= 0) { continue; }
        rules_refuse_unknown(reading, key->place, of_what, key->text, known, known_count);
    }
}

int rules_read_choice(const struct rules_reading *reading, const struct yaml_node *node,
                      const char *of_what, const char *const *choices)
{
    const char *const text = rules_read_scalar(reading, node, "a word");
    if (text == NULL) { return -1; }
    const int choice = find_word(choices, count_words(choices), text);
    if (choice < 0) {
        rules_refuse_unknown(reading, node->place, of_what, text, choices, count_words(choices));
    }
    return choice;
}
