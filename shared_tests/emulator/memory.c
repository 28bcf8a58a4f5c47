// One memory request of the lanes in lock step: checks every access, moves the data, records who touched
// which cell and when, and counts the transactions. requests.py declares the same structures for ctypes.
#include <stdint.h>
#include <string.h>

enum { WARP = 32, SECTOR = 32, BANKS = 32, WORD = 4 };
enum Space { GLOBAL, SHARED, LOCAL, PARAM, GENERIC };  // the windows of generic addresses, in this order
enum { WINDOW = 60 };  // the bits of a generic address above this name its window

enum Kind {  // the order of problems.py
  RACE_READ,
  RACE_WRITE,
  RACE_WARP,
  RACE_BLOCKS,
  SAME_ADDRESS,
  UNINITIALISED,
  PENDING_COPY,
  READ_ONLY,
  MISALIGNED,
  OUT_OF_BOUNDS,
  KINDS
};

enum {
  ISSUE = 1,
  COMPLETE = 2
};  // the halves of an asynchronous copy: the first marks cells, the second writes them

enum Readers {
  ONE,
  LANES,
  WARPS,
  BLOCKS
};  // who has read a cell: one lane, or several of a warp, a block, the grid

// A cell is as wide as the kernel's narrowest access. Lanes are numbered through the grid, from 1; 0 is
// nobody. Times are steps of the executor.
typedef struct {
  uint32_t writer : 29, written : 1, pending : 1, atomic : 1;
  uint32_t reader : 30, readers : 2;
  uint32_t write_time, read_time;
} Cell;

typedef struct {
  uint64_t start, size;
  Cell* cells;
  int64_t writable;
} Buffer;

typedef struct {
  int64_t sectors, least_sectors, wavefronts, least_wavefronts;
} Count;

typedef struct {
  int64_t hits, lane, other, buffer;
  uint64_t address;
} Finding;

typedef struct {
  const Buffer* buffers;
  int64_t buffer_count;
  uint8_t *shared, *local, *param;
  int64_t shared_size, shared_stride, local_size, local_stride, param_size;
  Cell* shared_cells;
  int64_t shared_cell_stride;
  // When each block of the chunk passed a barrier, each warp a warp barrier, each block of the grid a fence.
  const uint32_t *barrier_time, *warp_time, *fence_time;
  Count* counts;
  int64_t lanes, block_lanes, first_block, cell_shift, counters;
} State;

typedef struct {
  const uint8_t* mask;
  const uint64_t* addresses;
  uint8_t* data;  // [elements, lanes] of element_size bytes
  int64_t space, element_size, elements, write, tracked, counted, issue, position;
  uint32_t now, found;  // found: whether there are any findings
  Finding findings[KINDS];
} Request;

typedef struct {
  uint8_t* data;
  Cell* cells;
  int64_t space, buffer, offset, block;  // block: of the lane, in the chunk
} Place;

static void report(Request* r, enum Kind kind, int64_t lane, int64_t other, uint64_t address,
                   int64_t buffer) {
  Finding* f = &r->findings[kind];
  r->found = 1;
  if (f->hits++ == 0) *f = (Finding){1, lane, other, buffer, address};
}

static int64_t find_buffer(const State* s, uint64_t address, int64_t guess) {
  if (guess >= 0 && address - s->buffers[guess].start < s->buffers[guess].size) return guess;
  int64_t low = 0, high = s->buffer_count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (s->buffers[middle].start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low - 1;
}

static int64_t buffer_of(const Place* place) {
  return place->space == GLOBAL ? place->buffer : -1;
}

// Finds the bytes behind an address; returns 0, with the reason reported, where there are none.
static int locate(const State* s, Request* r, int64_t lane, uint64_t address, int64_t size, Place* place) {
  int64_t space = r->space;
  if (address & (size - 1)) return report(r, MISALIGNED, lane, -1, address, -1), 0;
  if (space == GENERIC) {
    space = address >> WINDOW;
    if (space == SHARED || space == LOCAL || space == PARAM) address &= (1ull << WINDOW) - 1;
  }
  const uint64_t end = address + size;
  place->space = space, place->cells = 0, place->offset = address;
  if (space == GLOBAL) {
    const int64_t buffer = place->buffer = find_buffer(s, address, place->buffer);
    if (buffer < 0 || end < address || end > s->buffers[buffer].start + s->buffers[buffer].size)
      return report(r, OUT_OF_BOUNDS, lane, -1, address, buffer), 0;
    const Buffer* b = &s->buffers[buffer];
    place->data = (uint8_t*)(uintptr_t)address;
    if (b->cells) place->cells = b->cells + ((address >> s->cell_shift) - (b->start >> s->cell_shift));
    return 1;
  }
  const int64_t limit = space == SHARED  ? s->shared_size
                        : space == LOCAL ? s->local_size
                        : space == PARAM ? s->param_size
                                         : 0;
  if (end < address || end > (uint64_t)limit) return report(r, OUT_OF_BOUNDS, lane, -1, address, -1), 0;
  if (space == SHARED) {
    place->data = s->shared + place->block * s->shared_stride + address;
    if (s->shared_cells)
      place->cells = s->shared_cells + place->block * s->shared_cell_stride + (address >> s->cell_shift);
  } else if (space == LOCAL) {
    place->data = s->local + lane * s->local_stride + address;
  } else {
    place->data = s->param + address;
  }
  return 1;
}

// ---- races ----

// A lane that accesses memory: its number in the chunk and in the grid, and those of its block and warp in
// the grid.
typedef struct {
  int64_t lane;
  uint32_t number, block, warp;
} Lane;

static Lane lane_of(const State* s, int64_t lane, const Place* place) {
  const uint32_t number = lane + s->first_block * s->block_lanes;
  return (Lane){lane, number, place->block + s->first_block, number / WARP};
}

static uint32_t barrier_time(const State* s, const Lane* me) {
  return s->barrier_time[me->block - s->first_block];
}

static uint32_t warp_time(const State* s, const Lane* me) {
  return s->warp_time[me->warp - (uint32_t)(s->first_block * s->block_lanes) / WARP];
}

// The kind of race if an access by `other` at `time` and one by `me` now may happen in either order, else -1.
static int race(const State* s, uint32_t other, const Lane* me, uint32_t time, int atomic, enum Kind kind) {
  if (other / WARP == me->warp) return time > barrier_time(s, me) && time > warp_time(s, me) ? RACE_WARP : -1;
  const uint32_t their_block = other / (uint32_t)s->block_lanes;
  if (their_block == me->block) return time > barrier_time(s, me) ? (int)kind : -1;
  // What another block wrote is visible once both blocks have fenced.
  return atomic || (s->fence_time[their_block] > time && s->fence_time[me->block] > time) ? -1 : RACE_BLOCKS;
}

static void read_cell(const State* s, Request* r, Cell* c, const Lane* me, const Place* p) {
  const uint32_t id = me->number + 1;
  if (c->pending)
    report(r, PENDING_COPY, me->lane, c->writer - 1, p->offset, -1);
  else if (p->space == SHARED && !c->written)
    report(r, UNINITIALISED, me->lane, -1, p->offset, -1);
  else if (c->writer && c->writer != id) {
    const int kind = race(s, c->writer - 1, me, c->write_time, c->atomic, RACE_READ);
    if (kind >= 0) report(r, kind, me->lane, c->writer - 1, p->offset, buffer_of(p));
  }
  enum Readers readers = ONE;
  if (c->reader && (c->reader != id || c->readers != ONE)) {
    const uint32_t other = c->reader - 1;
    if (c->readers == BLOCKS || other / (uint32_t)s->block_lanes != me->block)
      readers = BLOCKS;
    else if (c->read_time <= barrier_time(s, me))
      readers = ONE;
    else if (c->readers == WARPS || other / WARP != me->warp)
      readers = WARPS;
    else
      readers = c->read_time <= warp_time(s, me) ? ONE : LANES;
  }
  c->reader = id, c->readers = readers, c->read_time = r->now;
}

static void write_cell(const State* s, Request* r, Cell* c, const Lane* me, const Place* p, int atomic) {
  const uint32_t id = me->number + 1;
  if (r->issue == COMPLETE) {  // checked when it started
    c->pending = 0, c->write_time = r->now;
    return;
  }
  int kind = -1;
  int64_t other = (int64_t)c->writer - 1;
  if (c->pending)
    report(r, PENDING_COPY, me->lane, other, p->offset, -1);
  else if (c->writer && c->writer != id && !(atomic && c->atomic))
    kind = c->write_time == r->now ? SAME_ADDRESS : race(s, other, me, c->write_time, c->atomic, RACE_WRITE);
  if (kind < 0 && c->reader && (c->reader != id || c->readers != ONE)) {
    other = c->reader - 1;
    const int own_block = other / s->block_lanes == me->block;
    if (c->readers == WARPS && own_block)
      kind = c->read_time > barrier_time(s, me) ? RACE_WRITE : -1;
    else if (c->readers == BLOCKS && own_block)
      kind = atomic || s->fence_time[me->block] > c->read_time ? -1 : RACE_BLOCKS;
    else
      kind = race(s, other, me, c->read_time, atomic, RACE_WRITE);
  }
  if (kind >= 0) report(r, kind, me->lane, other, p->offset, buffer_of(p));
  c->writer = id, c->written = 1, c->pending = r->issue == ISSUE, c->atomic = atomic, c->write_time = r->now;
}

static int64_t cell_count(const State* s, const Place* p, int64_t size) {
  return ((p->offset + size - 1) >> s->cell_shift) - (p->offset >> s->cell_shift) + 1;
}

static void mark_written(const State* s, const Place* p, int64_t size) {
  for (int64_t i = 0; i < cell_count(s, p, size); ++i) p->cells[i].written = 1;
}

static void track(const State* s, Request* r, const Lane* me, const Place* p, int64_t size, int atomic) {
  const int64_t count = cell_count(s, p, size);
  if (atomic || r->write)
    for (int64_t i = 0; i < count; ++i) write_cell(s, r, p->cells + i, me, p, atomic);
  else
    for (int64_t i = 0; i < count; ++i) read_cell(s, r, p->cells + i, me, p);
}

// ---- transactions ----

typedef struct {
  int count;
  uint64_t largest, values[WARP];
} Distinct;

static void insert(Distinct* d, uint64_t value) {
  if (d->count == 0 || value > d->largest) {  // mostly the addresses of a warp ascend
    d->values[d->count++] = d->largest = value;
    return;
  }
  for (int i = d->count - 1; i >= 0; --i)
    if (d->values[i] == value) return;
  d->values[d->count++] = value;
}

// The words that a group of lanes asks of each bank of shared memory.
typedef struct {
  int lanes, count[BANKS];
  uint64_t values[BANKS][WARP];
} Banks;

static void insert_words(Banks* banks, uint64_t address, int64_t size) {
  for (uint64_t word = address / WORD; word <= (address + size - 1) / WORD; ++word) {
    const int bank = word % BANKS;
    int i = 0;
    while (i < banks->count[bank] && banks->values[bank][i] != word) ++i;
    if (i == banks->count[bank]) banks->values[bank][banks->count[bank]++] = word;
  }
  banks->lanes++;
}

static void count_wavefronts(Banks* banks, Count* count) {
  if (!banks->lanes) return;
  int most = 0;
  for (int i = 0; i < BANKS; ++i) most = banks->count[i] > most ? banks->count[i] : most;
  count->wavefronts += most, count->least_wavefronts++;
  memset(banks->count, 0, sizeof banks->count), banks->lanes = 0;
}

// ---- requests ----

#define MOVE(T)                                              \
  {                                                          \
    T *data = (T*)r->data + lane, *memory = (T*)place->data; \
    for (int64_t j = 0; j < r->elements; ++j)                \
      if (r->write)                                          \
        memory[j] = data[j * lanes];                         \
      else                                                   \
        data[j * lanes] = memory[j];                         \
  }

static void move(const Request* r, const Place* place, int64_t lane, int64_t lanes) {
  switch (r->element_size) {
    case 1:
      MOVE(uint8_t) break;
    case 2:
      MOVE(uint16_t) break;
    case 4:
      MOVE(uint32_t) break;
    case 8:
      MOVE(uint64_t) break;
  }
}

// Performs the request. Returns 0 if a lane may not go on; the findings say what and where.
int request(const State* s, Request* r) {
  const int64_t size = r->element_size * r->elements;
  const int64_t group = size <= WORD       ? WARP
                        : size == 2 * WORD ? WARP / 2
                                           : WARP / 4;  // lanes that share wavefronts
  const int counted = s->counters && r->counted;
  Count* count = s->counts + r->position;
  Banks banks;
  banks.lanes = 0, memset(banks.count, 0, sizeof banks.count);
  Place place = {.buffer = -1};
  int64_t distinct_bytes = 0;
  for (int64_t first = 0; first < s->lanes; first += WARP) {
    Distinct sectors, addresses;
    sectors.count = addresses.count = 0;
    place.block = first / s->block_lanes;
    for (int64_t lane = first; lane < first + WARP; ++lane) {
      if (lane % group == 0 && counted) count_wavefronts(&banks, count);
      if (!r->mask[lane]) continue;
      const uint64_t address = r->addresses[lane];
      if (!locate(s, r, lane, address, size, &place)) return 0;
      if (counted && place.space == GLOBAL) insert(&sectors, address / SECTOR), insert(&addresses, address);
      if (counted && place.space == SHARED) insert_words(&banks, place.offset, size);
      if (r->write &&
          (place.space == PARAM || (place.space == GLOBAL && !s->buffers[place.buffer].writable))) {
        report(r, READ_ONLY, lane, -1, place.offset, buffer_of(&place));
        continue;
      }
      if (place.cells && r->tracked) {
        const Lane me = lane_of(s, lane, &place);
        track(s, r, &me, &place, size, 0);
      } else if (place.cells && r->write) {
        mark_written(s, &place, size);
      }
      if (r->issue != ISSUE) move(r, &place, lane, s->lanes);
    }
    count->sectors += sectors.count;
    distinct_bytes += addresses.count * size;
  }
  if (counted) count_wavefronts(&banks, count);
  count->least_sectors += (distinct_bytes + SECTOR - 1) / SECTOR;
  return 1;
}

// ---- atomics ----

enum Operation { ADD, MIN, MAX, AND, OR, XOR, EXCH, CAS, INC, DEC };

#define INTEGER(T)                                           \
  {                                                          \
    T *memory = (T*)place.data, *data = (T*)r->data + lane;  \
    const T old = *memory, value = *data;                    \
    switch (operation) {                                     \
      case ADD:                                              \
        *memory = old + value;                               \
        break;                                               \
      case MIN:                                              \
        *memory = old < value ? old : value;                 \
        break;                                               \
      case MAX:                                              \
        *memory = old > value ? old : value;                 \
        break;                                               \
      case AND:                                              \
        *memory = old & value;                               \
        break;                                               \
      case OR:                                               \
        *memory = old | value;                               \
        break;                                               \
      case XOR:                                              \
        *memory = old ^ value;                               \
        break;                                               \
      case EXCH:                                             \
        *memory = value;                                     \
        break;                                               \
      case CAS:                                              \
        *memory = old == value ? data[s->lanes] : old;       \
        break;                                               \
      case INC:                                              \
        *memory = old >= value ? 0 : old + 1;                \
        break;                                               \
      case DEC:                                              \
        *memory = old == 0 || old > value ? value : old - 1; \
        break;                                               \
    }                                                        \
    *data = old;                                             \
    break;                                                   \
  }

#define FLOAT(T)                                            \
  {                                                         \
    T *memory = (T*)place.data, *data = (T*)r->data + lane; \
    const T old = *memory;                                  \
    *memory = old + *data;                                  \
    *data = old;                                            \
    break;                                                  \
  }

enum Type { U32, S32, U64, S64, F32, F64 };

// Performs the operation lane by lane in the order that is passed; the old values replace the operands in
// `data`, of which cas has a second row. Returns 0 if a lane may not go on.
int atomic_request(const State* s, Request* r, const int64_t* order, int64_t count, int operation, int type) {
  Place place = {.buffer = -1};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t lane = order[i];
    place.block = lane / s->block_lanes;
    if (!locate(s, r, lane, r->addresses[lane], r->element_size, &place)) return 0;
    if (place.space == PARAM || (place.space == GLOBAL && !s->buffers[place.buffer].writable)) {
      report(r, READ_ONLY, lane, -1, place.offset, buffer_of(&place));
      continue;
    }
    if (place.cells) {
      const Lane me = lane_of(s, lane, &place);
      track(s, r, &me, &place, r->element_size, 1);
    }
    switch (type) {
      case U32:
        INTEGER(uint32_t)
      case S32:
        INTEGER(int32_t)
      case U64:
        INTEGER(uint64_t)
      case S64:
        INTEGER(int64_t)
      case F32:
        FLOAT(float)
      case F64:
        FLOAT(double)
    }
  }
  return 1;
}
