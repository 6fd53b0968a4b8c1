/* The third step: whether the two agree, and where they do not. */
#include <assert.h>
#include <stdlib.h>

#include "tools/audit.h"

/* ----------------------------------------------------------------------------------- ordering */

static int by_first(const void *left, const void *right)
{
    const struct audit_run *const a = left;
    const struct audit_run *const b = right;
    if (a->first != b->first) { return a->first > b->first ? 1 : -1; }
    return (a->piece > b->piece) - (a->piece < b->piece);
}

static int by_point(const void *left, const void *right)
{
    const struct audit_point *const a = left;
    const struct audit_point *const b = right;
    if (a->sequence != b->sequence) { return a->sequence > b->sequence ? 1 : -1; }
    return (a->hash > b->hash) - (a->hash < b->hash);
}

static int by_piece(const void *left, const void *right)
{
    const struct audit_piece *const *const a = left;
    const struct audit_piece *const *const b = right;
    if ((*a)->first != (*b)->first) { return (*a)->first > (*b)->first ? 1 : -1; }
    return ((*a)->order > (*b)->order) - ((*a)->order < (*b)->order);
}

static uint64_t least(uint64_t left, uint64_t right) { return left < right ? left : right; }
static uint64_t most(uint64_t left, uint64_t right) { return left > right ? left : right; }

/* ------------------------------------------------------------------------------------ presence */

/* A stretch that no commit has, between the found runs before and behind it (NULL: none). */
struct absence {
    const struct audit_lane *lane;
    const struct audit_run *before;
    const struct audit_run *behind;
};

/* Logs lose their beginnings alone: what lies between two commits of one log did not expire. */
static uint64_t expired_to(const struct audit *audit, const struct absence *absence)
{
    const struct audit_lane *const lane = absence->lane;
    if (lane->point_count == 0) { return audit->beginning_is_gone ? UINT64_MAX : 0; }
    if (absence->before != NULL && absence->behind != NULL) {
        const struct audit_piece *const pieces = lane->pieces;
        if (pieces[absence->before->piece].partition == pieces[absence->behind->piece].partition) {
            return 0;
        }
    }
    return lane->expired_to;
}

static void judge_absent(struct audit *audit, const struct absence *absence, uint64_t first,
                         uint64_t last)
{
    const uint64_t expired = least(expired_to(audit, absence), last);
    if (first <= expired) {
        audit->expired += expired - first + 1;
        first = expired + 1;
    }
    if (first > last) { return; }
    const struct audit_finding finding = {
        .kind = AUDIT_MISSING, .lane = absence->lane->number, .first = first, .last = last};
    audit_tell(audit, &finding);
}

static void judge_found(struct audit *audit, const struct audit_lane *lane,
                        const struct audit_run *told, const struct audit_run *found, uint64_t first,
                        uint64_t last)
{
    if (told->fate == found->fate) {
        audit->present += last - first + 1;
        return;
    }
    const struct audit_finding finding = {.kind = AUDIT_FATE,
                                          .lane = lane->number,
                                          .first = first,
                                          .last = last,
                                          .piece = &lane->pieces[found->piece],
                                          .told = told->fate,
                                          .found = found->fate};
    audit_tell(audit, &finding);
}

/* Both lists are in order of sequence. */
static void judge_presence(struct audit *audit, const struct audit_lane *lane)
{
    size_t at = 0;
    for (size_t i = 0; i < lane->acknowledged_count; i++) {
        const struct audit_run *const told = &lane->acknowledged[i];
        uint64_t sequence = told->first;
        while (sequence <= told->last) {
            while (at < lane->found_count && lane->found[at].last < sequence) { at++; }
            const struct audit_run *const found = at < lane->found_count ? &lane->found[at] : NULL;
            if (found == NULL || found->first > sequence) {
                const struct absence absence = {lane, at > 0 ? &lane->found[at - 1] : NULL, found};
                const uint64_t end =
                    found == NULL ? told->last : least(told->last, found->first - 1);
                judge_absent(audit, &absence, sequence, end);
                sequence = end + 1;
                continue;
            }
            const uint64_t end = least(told->last, found->last);
            judge_found(audit, lane, told, found, sequence, end);
            sequence = end + 1;
        }
    }
}

static bool is_acknowledged(const struct audit_lane *lane, uint64_t first, uint64_t last)
{
    for (size_t i = 0; i < lane->acknowledged_count; i++) {
        if (lane->acknowledged[i].first <= last && lane->acknowledged[i].last >= first) {
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------------------- one after another
 */

static void tell_piece(struct audit *audit, const struct audit_lane *lane, enum audit_kind kind,
                       const struct audit_piece *piece)
{
    const struct audit_finding finding = {.kind = kind,
                                          .lane = lane->number,
                                          .first = piece->first,
                                          .last = piece->last,
                                          .piece = piece};
    audit_tell(audit, &finding);
}

/* Two neighbours in order of sequence; `reach` is the one before that reaches furthest. */
static void judge_neighbours(struct audit *audit, const struct audit_lane *lane,
                             const struct audit_piece *reach, const struct audit_piece *piece)
{
    if (reach->generation != piece->generation) { return; } /* forgotten in between: begins anew */
    struct audit_finding finding = {.kind = AUDIT_TWICE,
                                    .lane = lane->number,
                                    .first = piece->first,
                                    .last = least(piece->last, reach->last),
                                    .piece = reach,
                                    .other = piece};
    if (piece->first <= reach->last) {
        audit_tell(audit, &finding);
        return;
    }
    if (reach->partition != piece->partition) { return; }
    if (reach->order > piece->order) { tell_piece(audit, lane, AUDIT_ORDER, piece); }
    if (piece->first == reach->last + 1) { return; }
    finding.kind = AUDIT_GAP;
    finding.first = reach->last + 1;
    finding.last = piece->first - 1;
    finding.piece = piece;
    if (!is_acknowledged(lane, finding.first, finding.last)) { audit_tell(audit, &finding); }
}

/* ----------------------------------------------------------------------------------------- hashes
 */

/* The first point that is not below `sequence`. */
static size_t point_place(const struct audit_lane *lane, uint64_t sequence)
{
    size_t low = 0;
    size_t high = lane->point_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (lane->points[middle].sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct audit_mark *mark_at(const struct audit_lane *lane, uint64_t sequence)
{
    size_t low = 0;
    size_t high = lane->mark_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (lane->marks[middle].sequence < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == lane->mark_count || lane->marks[low].sequence != sequence) { return NULL; }
    return &lane->marks[low];
}

/* What H(sequence) may be, one after the other: where items end the log says it, and more than once
 * for a lane that was forgotten and began again. `at` is 0 for the first. */
static bool point_next(const struct audit_lane *lane, uint64_t sequence, size_t *at, uint64_t *out)
{
    const size_t begin = point_place(lane, sequence);
    if (begin + *at < lane->point_count && lane->points[begin + *at].sequence == sequence) {
        *out = lane->points[begin + *at].hash;
        ++*at;
        return true;
    }
    if (sequence != 0 || *at > 0) { return false; }
    *out = 0; /* H(0) */
    ++*at;
    return true;
}

/* The same, also in the middle of a commit. */
static bool hash_next(const struct audit_lane *lane, uint64_t sequence, size_t *at, uint64_t *out)
{
    size_t first = 0;
    if (point_next(lane, sequence, &first, out)) { return point_next(lane, sequence, at, out); }
    const struct audit_mark *const mark = mark_at(lane, sequence);
    if (mark == NULL || !mark->known) { return false; }
    if (!point_next(lane, lane->pieces[mark->piece].first - 1, at, out)) { return false; }
    *out = hash_fold_apply(mark->fold, *out);
    return true;
}

/* Whether the records in the log are those of which the commit's hash was made. */
static void judge_records(struct audit *audit, const struct audit_lane *lane,
                          const struct audit_piece *piece)
{
    size_t at = 0;
    uint64_t before;
    if (!piece->has_records) {
        tell_piece(audit, lane, AUDIT_PLACE, piece);
        return;
    }
    if (!piece->in_order) { tell_piece(audit, lane, AUDIT_ORDER, piece); }
    while (point_next(lane, piece->first - 1, &at, &before)) {
        if (hash_fold_apply(piece->fold, before) == piece->hash) { return; }
    }
    if (at > 0) {
        tell_piece(audit, lane, AUDIT_RECORDS, piece);
    } /* else: what was before expired */
}

static uint64_t power_of_factor(uint64_t exponent)
{
    uint64_t result = 1;
    uint64_t square = NATIVE_HASH_FACTOR;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) != 0) { result *= square; }
        square *= square;
    }
    return result;
}

/* How far the receipts' chain is from the lane's hash: H(n) = R(n) + distance(n), and as long as
 * both go over the same records, distance grows by the factor alone. It is 0 for a chain from
 * sequence 1 on. */
struct chain {
    bool known;
    uint64_t distance;
    uint64_t verified; /* the last sequence at which both were compared, and equal */
    size_t run;        /* of acknowledged, where the last receipt ended */
};

/* Hashed records of [first, last]: all but LOST ones. */
static uint64_t hashed_count(const struct audit_lane *lane, struct chain *chain, uint64_t first,
                             uint64_t last)
{
    const struct audit_run *const runs = lane->acknowledged;
    uint64_t count = 0;
    if (chain->run >= lane->acknowledged_count || runs[chain->run].first > first) {
        chain->run = 0; /* receipts that are not in order of sequence */
    }
    while (chain->run < lane->acknowledged_count && runs[chain->run].last < first) { chain->run++; }
    for (size_t i = chain->run; i < lane->acknowledged_count && runs[i].first <= last; i++) {
        const uint64_t from = most(first, runs[i].first);
        if (runs[i].fate != NATIVE_LOST) { count += least(last, runs[i].last) - from + 1; }
    }
    return count;
}

/* Known where the log says one hash only. */
static void chain_begin(const struct audit_lane *lane, const struct audit_receipt *receipt,
                        struct chain *chain)
{
    size_t at = 0;
    uint64_t other;
    chain->known = hash_next(lane, receipt->first - 1, &at, &chain->distance);
    while (chain->known && hash_next(lane, receipt->first - 1, &at, &other)) {
        chain->known = other == chain->distance;
    }
    chain->verified = receipt->first - 1;
}

static void judge_receipt(struct audit *audit, const struct audit_lane *lane, struct chain *chain,
                          const struct audit_receipt *receipt)
{
    if (!receipt->chained) { chain_begin(lane, receipt, chain); }
    chain->distance *= power_of_factor(hashed_count(lane, chain, receipt->first, receipt->last));
    size_t at = 0;
    uint64_t hash;
    bool same = false;
    while (!same && hash_next(lane, receipt->last, &at, &hash)) {
        same = chain->known && hash == receipt->hash + chain->distance;
    }
    if (at == 0) { return; } /* the log does not say */
    if (same) {
        audit->proven += receipt->last - chain->verified;
    } else {
        const struct audit_finding finding = {.kind = AUDIT_RECEIPT,
                                              .lane = lane->number,
                                              .first = chain->verified + 1,
                                              .last = receipt->last};
        if (chain->known) { audit_tell(audit, &finding); }
        chain->known = true;
        chain->distance = hash - receipt->hash;
    }
    chain->verified = receipt->last;
}

static void judge_receipts(struct audit *audit, const struct audit_lane *lane)
{
    struct chain chain = {.known = false};
    for (size_t i = 0; i < lane->receipt_count; i++) {
        judge_receipt(audit, lane, &chain, &lane->receipts[i]);
    }
}

/* ------------------------------------------------------------------------------------------ lanes
 */

static void judge_pieces(struct audit *audit, const struct audit_lane *lane)
{
    if (lane->piece_count == 0) { return; }
    const struct audit_piece **const sorted = calloc(lane->piece_count, sizeof *sorted);
    assert(sorted != NULL);
    for (size_t i = 0; i < lane->piece_count; i++) { sorted[i] = &lane->pieces[i]; }
    qsort(sorted, lane->piece_count, sizeof *sorted, by_piece);
    const struct audit_piece *reach = NULL;
    for (size_t i = 0; i < lane->piece_count; i++) {
        judge_records(audit, lane, sorted[i]);
        if (reach != NULL) { judge_neighbours(audit, lane, reach, sorted[i]); }
        if (reach == NULL || sorted[i]->last >= reach->last ||
            sorted[i]->generation != reach->generation) {
            reach = sorted[i];
        }
    }
    free(sorted);
}

static uint64_t found_records(const struct audit_lane *lane)
{
    uint64_t count = 0;
    uint64_t reached = 0;
    for (size_t i = 0; i < lane->found_count; i++) {
        const uint64_t from = most(lane->found[i].first, reached + 1);
        if (from <= lane->found[i].last) { count += lane->found[i].last - from + 1; }
        reached = most(reached, lane->found[i].last);
    }
    return count;
}

static void judge_lane(struct audit *audit, struct audit_lane *lane)
{
    const uint64_t present = audit->present;
    qsort(lane->found, lane->found_count, sizeof lane->found[0], by_first);
    qsort(lane->points, lane->point_count, sizeof lane->points[0], by_point);
    judge_presence(audit, lane);
    judge_pieces(audit, lane);
    judge_receipts(audit, lane);
    const uint64_t found = found_records(lane);
    const uint64_t told = audit->present - present;
    if (found > told) { audit->without_receipt += found - told; }
}

void audit_judge(struct audit *audit)
{
    for (size_t i = 0; i < audit->lane_count; i++) { judge_lane(audit, &audit->lanes[i]); }
}
