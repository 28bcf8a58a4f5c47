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
  uint32_t time, has_findings;
  Finding findings[KINDS];
} Request;

typedef struct {
  uint8_t* data;
  Cell* cells;
  int64_t space, buffer, offset, block;  // block: of the lane, in the chunk
} Place;

static void report(Request* request, enum Kind kind, int64_t lane, int64_t other, uint64_t address,
                   int64_t buffer) {
  Finding* finding = &request->findings[kind];
  request->has_findings = 1;
  if (finding->hits++ == 0) *finding = (Finding){1, lane, other, buffer, address};
}

static int64_t find_buffer(const State* state, uint64_t address, int64_t guess) {
  if (guess >= 0 && address - state->buffers[guess].start < state->buffers[guess].size) return guess;
  int64_t low = 0, high = state->buffer_count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (state->buffers[middle].start <= address)
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
static int locate(const State* state, Request* request, int64_t lane, uint64_t address, int64_t size,
                  Place* place) {
  int64_t space = request->space;
  if (address & (size - 1)) return report(request, MISALIGNED, lane, -1, address, -1), 0;
  if (space == GENERIC) {
    space = address >> WINDOW;
    if (space == SHARED || space == LOCAL || space == PARAM) address &= (1ull << WINDOW) - 1;
  }
  const uint64_t end = address + size;
  place->space = space, place->cells = 0, place->offset = address;
  if (space == GLOBAL) {
    const int64_t buffer = place->buffer = find_buffer(state, address, place->buffer);
    if (buffer < 0 || end < address || end > state->buffers[buffer].start + state->buffers[buffer].size)
      return report(request, OUT_OF_BOUNDS, lane, -1, address, buffer), 0;
    const Buffer* bytes = &state->buffers[buffer];
    place->data = (uint8_t*)(uintptr_t)address;
    if (bytes->cells)
      place->cells = bytes->cells + ((address >> state->cell_shift) - (bytes->start >> state->cell_shift));
    return 1;
  }
  const int64_t limit = space == SHARED  ? state->shared_size
                        : space == LOCAL ? state->local_size
                        : space == PARAM ? state->param_size
                                         : 0;
  if (end < address || end > (uint64_t)limit) return report(request, OUT_OF_BOUNDS, lane, -1, address, -1), 0;
  if (space == SHARED) {
    place->data = state->shared + place->block * state->shared_stride + address;
    if (state->shared_cells)
      place->cells =
          state->shared_cells + place->block * state->shared_cell_stride + (address >> state->cell_shift);
  } else if (space == LOCAL) {
    place->data = state->local + lane * state->local_stride + address;
  } else {
    place->data = state->param + address;
  }
  return 1;
}

// ---- races ----

// A lane that accesses memory: its number in the chunk, and the numbers of lane, block and warp in the grid.
typedef struct {
  int64_t lane;
  uint32_t number, block, warp;
} Lane;

static Lane lane_of(const State* state, int64_t lane, const Place* place) {
  const uint32_t number = lane + state->first_block * state->block_lanes;
  return (Lane){lane, number, place->block + state->first_block, number / WARP};
}

static uint32_t barrier_time(const State* state, const Lane* me) {
  return state->barrier_time[me->block - state->first_block];
}

static uint32_t warp_time(const State* state, const Lane* me) {
  return state->warp_time[me->warp - (uint32_t)(state->first_block * state->block_lanes) / WARP];
}

// The kind of race if an access by `other` at `time` and one by `me` now may happen in either order, else -1.
static int race(const State* state, uint32_t other, const Lane* me, uint32_t time, int atomic,
                enum Kind kind) {
  if (other / WARP == me->warp)
    return time > barrier_time(state, me) && time > warp_time(state, me) ? RACE_WARP : -1;
  const uint32_t their_block = other / (uint32_t)state->block_lanes;
  if (their_block == me->block) return time > barrier_time(state, me) ? (int)kind : -1;
  // What another block wrote is visible once both blocks have fenced.
  return atomic || (state->fence_time[their_block] > time && state->fence_time[me->block] > time)
             ? -1
             : RACE_BLOCKS;
}

static void read_cell(const State* state, Request* request, Cell* cell, const Lane* me, const Place* place) {
  const uint32_t id = me->number + 1;
  if (cell->pending)
    report(request, PENDING_COPY, me->lane, cell->writer - 1, place->offset, -1);
  else if (place->space == SHARED && !cell->written)
    report(request, UNINITIALISED, me->lane, -1, place->offset, -1);
  else if (cell->writer && cell->writer != id) {
    const int kind = race(state, cell->writer - 1, me, cell->write_time, cell->atomic, RACE_READ);
    if (kind >= 0) report(request, kind, me->lane, cell->writer - 1, place->offset, buffer_of(place));
  }
  enum Readers readers = ONE;
  if (cell->reader && (cell->reader != id || cell->readers != ONE)) {
    const uint32_t other = cell->reader - 1;
    if (cell->readers == BLOCKS || other / (uint32_t)state->block_lanes != me->block)
      readers = BLOCKS;
    else if (cell->read_time <= barrier_time(state, me))
      readers = ONE;
    else if (cell->readers == WARPS || other / WARP != me->warp)
      readers = WARPS;
    else
      readers = cell->read_time <= warp_time(state, me) ? ONE : LANES;
  }
  cell->reader = id;
  cell->readers = readers;
  cell->read_time = request->time;
}

static void write_cell(const State* state, Request* request, Cell* cell, const Lane* me, const Place* place,
                       int atomic) {
  const uint32_t id = me->number + 1;
  if (request->issue == COMPLETE) {  // checked when it started
    cell->pending = 0;
    cell->write_time = request->time;
    return;
  }
  int kind = -1;
  int64_t other = (int64_t)cell->writer - 1;
  if (cell->pending)
    report(request, PENDING_COPY, me->lane, other, place->offset, -1);
  else if (cell->writer && cell->writer != id && !(atomic && cell->atomic))
    kind = cell->write_time == request->time
               ? SAME_ADDRESS
               : race(state, other, me, cell->write_time, cell->atomic, RACE_WRITE);
  if (kind < 0 && cell->reader && (cell->reader != id || cell->readers != ONE)) {
    other = cell->reader - 1;
    const int own_block = other / state->block_lanes == me->block;
    if (cell->readers == WARPS && own_block)
      kind = cell->read_time > barrier_time(state, me) ? RACE_WRITE : -1;
    else if (cell->readers == BLOCKS && own_block)
      kind = atomic || state->fence_time[me->block] > cell->read_time ? -1 : RACE_BLOCKS;
    else
      kind = race(state, other, me, cell->read_time, atomic, RACE_WRITE);
  }
  if (kind >= 0) report(request, kind, me->lane, other, place->offset, buffer_of(place));
  cell->writer = id;
  cell->written = 1;
  cell->pending = request->issue == ISSUE;
  cell->atomic = atomic;
  cell->write_time = request->time;
}

static int64_t cell_count(const State* state, const Place* place, int64_t size) {
  return ((place->offset + size - 1) >> state->cell_shift) - (place->offset >> state->cell_shift) + 1;
}

static void mark_written(const State* state, const Place* place, int64_t size) {
  for (int64_t i = 0; i < cell_count(state, place, size); ++i) place->cells[i].written = 1;
}

static void track(const State* state, Request* request, const Lane* me, const Place* place, int64_t size,
                  int atomic) {
  const int64_t count = cell_count(state, place, size);
  if (atomic || request->write)
    for (int64_t i = 0; i < count; ++i) write_cell(state, request, place->cells + i, me, place, atomic);
  else
    for (int64_t i = 0; i < count; ++i) read_cell(state, request, place->cells + i, me, place);
}

// ---- transactions ----

typedef struct {
  int count;
  uint64_t largest, values[WARP];
} Distinct;

static void insert(Distinct* distinct, uint64_t value) {
  if (distinct->count == 0 || value > distinct->largest) {  // mostly the addresses of a warp ascend
    distinct->values[distinct->count++] = distinct->largest = value;
    return;
  }
  for (int i = distinct->count - 1; i >= 0; --i)
    if (distinct->values[i] == value) return;
  distinct->values[distinct->count++] = value;
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

#define MOVE(T)                                                    \
  {                                                                \
    T *data = (T*)request->data + lane, *memory = (T*)place->data; \
    for (int64_t j = 0; j < request->elements; ++j)                \
      if (request->write)                                          \
        memory[j] = data[j * lanes];                               \
      else                                                         \
        data[j * lanes] = memory[j];                               \
  }

static void move(const Request* request, const Place* place, int64_t lane, int64_t lanes) {
  switch (request->element_size) {
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
int request(const State* state, Request* request) {
  const int64_t size = request->element_size * request->elements;
  const int64_t group = size <= WORD       ? WARP
                        : size == 2 * WORD ? WARP / 2
                                           : WARP / 4;  // lanes that share wavefronts
  const int counted = state->counters && request->counted;
  Count* count = state->counts + request->position;
  Banks banks;
  banks.lanes = 0, memset(banks.count, 0, sizeof banks.count);
  Place place = {.buffer = -1};
  int64_t distinct_bytes = 0;
  for (int64_t first = 0; first < state->lanes; first += WARP) {
    Distinct sectors, addresses;
    sectors.count = addresses.count = 0;
    place.block = first / state->block_lanes;
    for (int64_t lane = first; lane < first + WARP; ++lane) {
      if (lane % group == 0 && counted) count_wavefronts(&banks, count);
      if (!request->mask[lane]) continue;
      const uint64_t address = request->addresses[lane];
      if (!locate(state, request, lane, address, size, &place)) return 0;
      if (counted && place.space == GLOBAL) insert(&sectors, address / SECTOR), insert(&addresses, address);
      if (counted && place.space == SHARED) insert_words(&banks, place.offset, size);
      if (request->write &&
          (place.space == PARAM || (place.space == GLOBAL && !state->buffers[place.buffer].writable))) {
        report(request, READ_ONLY, lane, -1, place.offset, buffer_of(&place));
        continue;
      }
      if (place.cells && request->tracked) {
        const Lane me = lane_of(state, lane, &place);
        track(state, request, &me, &place, size, 0);
      } else if (place.cells && request->write) {
        mark_written(state, &place, size);
      }
      if (request->issue != ISSUE) move(request, &place, lane, state->lanes);
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

#define INTEGER(T)                                                \
  {                                                               \
    T *memory = (T*)place.data, *data = (T*)request->data + lane; \
    const T old = *memory, value = *data;                         \
    switch (operation) {                                          \
      case ADD:                                                   \
        *memory = old + value;                                    \
        break;                                                    \
      case MIN:                                                   \
        *memory = old < value ? old : value;                      \
        break;                                                    \
      case MAX:                                                   \
        *memory = old > value ? old : value;                      \
        break;                                                    \
      case AND:                                                   \
        *memory = old & value;                                    \
        break;                                                    \
      case OR:                                                    \
        *memory = old | value;                                    \
        break;                                                    \
      case XOR:                                                   \
        *memory = old ^ value;                                    \
        break;                                                    \
      case EXCH:                                                  \
        *memory = value;                                          \
        break;                                                    \
      case CAS:                                                   \
        *memory = old == value ? data[state->lanes] : old;        \
        break;                                                    \
      case INC:                                                   \
        *memory = old >= value ? 0 : old + 1;                     \
        break;                                                    \
      case DEC:                                                   \
        *memory = old == 0 || old > value ? value : old - 1;      \
        break;                                                    \
    }                                                             \
    *data = old;                                                  \
    break;                                                        \
  }

#define FLOAT(T)                                                  \
  {                                                               \
    T *memory = (T*)place.data, *data = (T*)request->data + lane; \
    const T old = *memory;                                        \
    *memory = old + *data;                                        \
    *data = old;                                                  \
    break;                                                        \
  }

enum Type { U32, S32, U64, S64, F32, F64 };

// Performs the operation lane by lane in the order that is passed; the old values replace the operands in
// `data`, of which cas has a second row. Returns 0 if a lane may not go on.
int atomic_request(const State* state, Request* request, const int64_t* order, int64_t count, int operation,
                   int type) {
  Place place = {.buffer = -1};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t lane = order[i];
    place.block = lane / state->block_lanes;
    if (!locate(state, request, lane, request->addresses[lane], request->element_size, &place)) return 0;
    if (place.space == PARAM || (place.space == GLOBAL && !state->buffers[place.buffer].writable)) {
      report(request, READ_ONLY, lane, -1, place.offset, buffer_of(&place));
      continue;
    }
    if (place.cells) {
      const Lane me = lane_of(state, lane, &place);
      track(state, request, &me, &place, request->element_size, 1);
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
