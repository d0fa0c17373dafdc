import type { RowKey } from '../../kv/index.ts'
import { assert } from '../../lib/assert.ts'
import { elementAt } from '../../lib/element-at.ts'
import type { KeyedHash } from '../../lib/keyed-hash.ts'

const WORD = 4
/** A row in a piece: hash, length of its key with `USED`, length of its value or `ABSENT`; then the bytes of both. */
const HEADER_WORDS = 3
const USED = 0x8000_0000
const ABSENT = 0xffff_ffff
const PIECE_BYTES_MAX = 1024 * 1024
/** The first piece begins with this size: most nodes of tests, and many others, hold little. */
const PIECE_BYTES_MIN = 16 * 1024
/** Rows of up to this part of a piece are taken: a row lies in one piece, whose end stays empty when the next row does not fit. */
const ROWS_IN_PIECE_MIN = 64
/** Which part of the index is filled at most, and how far a search in it goes. A row whose places are all taken is not remembered. */
const FILLED_MAX = 0.6
const PROBES_MAX = 64
const SLOTS_MIN = 64
const SLOT_BYTES = 8
const NO_SLOT = -0x8000_0000
/** How many rows move up when a slot becomes empty. After that, `GONE` takes the place of the last of them. */
const MOVES_MAX = 32
/** An empty slot at which no search ends. */
const GONE = 0xffff_ffff
/** Which part of the budget the index may take. */
const INDEX_SHARE = 1 / 8

interface Piece {
  readonly bytes: Buffer
  readonly words: Uint32Array
}

/**
 * Small rows in a few large pieces of memory, with an index of numbers: no row is an object, so the collector has nothing to walk, and a row
 * costs about 30 bytes besides its own.
 *
 * Pieces are filled one after the other. When the budget is used up, the oldest is swept and filled anew: of its rows, those that were asked
 * for or changed since its last sweep stay, up to half of it.
 *
 * Whatever the hashes of its rows, a call looks at a bounded number of slots for each row that it touches, and sweeps one piece at most.
 */
export class FlatRows {
  private readonly hash: KeyedHash
  private readonly pieceWords: number
  private readonly piecesMax: number
  private readonly slotsMax: number
  private pieces: Piece[] = []
  /** The piece that is being filled, and how many of its words are. The others are full. */
  private current = -1
  private end = 0
  private readonly ends: number[] = []
  /** Where a row begins, plus 1; 0 or `GONE` for a free slot. The number of slots is a power of two. */
  private places = new Uint32Array(SLOTS_MIN)
  private hashes = new Uint32Array(SLOTS_MIN)
  private filled = 0

  constructor(bytesMax: number, hash: KeyedHash) {
    this.hash = hash
    const bytes = bytesMax * (1 - INDEX_SHARE)
    this.pieceWords = Math.min(PIECE_BYTES_MAX, powerOfTwo(bytes / 4)) / WORD
    this.piecesMax = Math.floor(bytes / (this.pieceWords * WORD))
    this.slotsMax = Math.max(SLOTS_MIN, powerOfTwo((bytesMax * INDEX_SHARE) / SLOT_BYTES))
  }

  /** Whether a row of this many bytes, key and value together, is small enough. */
  takes(bytes: number): boolean {
    return wordsOf(bytes) <= this.pieceWords / ROWS_IN_PIECE_MIN
  }

  has(row: RowKey): boolean {
    return this.find(row, this.hash.of(row)) >= 0
  }

  /** A copy of the row's bytes; null when it is known to be absent; undefined when nothing is known. */
  get(row: RowKey): Uint8Array | null | undefined {
    const slot = this.find(row, this.hash.of(row))
    if (slot < 0) return undefined
    const place = this.placeIn(slot)
    const { words, bytes } = this.pieceAt(place)
    const at = place % this.pieceWords
    const length = wordAt(words, at + 2)
    words[at + 1] = (row.length | USED) >>> 0
    if (length === ABSENT) return null
    const from = (at + HEADER_WORDS) * WORD + row.length
    const copy = Buffer.allocUnsafe(length)
    bytes.copy(copy, 0, from, from + length)
    return copy
  }

  /** Copies `bytes`, which `takes` has allowed. */
  set(row: RowKey, bytes: Uint8Array | null): void {
    const hash = this.hash.of(row)
    const size = wordsOf(row.length + (bytes?.length ?? 0))
    const slot = this.find(row, hash)
    if (slot >= 0) {
      const place = this.placeIn(slot)
      if (this.sizeAt(place) === size) return this.write(place, row, hash, bytes)
      this.free(slot)
    }
    if (this.isCrowded) this.makeRoom()
    const place = this.reserve(size)
    const free = this.find(row, hash)
    if (free === NO_SLOT) {
      // A sweep goes from row to row, so there is nothing between them.
      this.end -= size
      return
    }
    assert(free < 0, 'a row has one slot')
    this.fill(~free, place, hash)
    this.write(place, row, hash, bytes)
  }

  delete(row: RowKey): void {
    const slot = this.find(row, this.hash.of(row))
    if (slot >= 0) this.free(slot)
  }

  clear(): void {
    this.pieces = []
    this.current = -1
    this.places = new Uint32Array(SLOTS_MIN)
    this.hashes = new Uint32Array(SLOTS_MIN)
    this.filled = 0
  }

  private write(place: number, row: RowKey, hash: number, value: Uint8Array | null): void {
    const { words, bytes } = this.pieceAt(place)
    const at = place % this.pieceWords
    words[at] = hash
    words[at + 1] = (row.length | USED) >>> 0
    words[at + 2] = value === null ? ABSENT : value.length
    const from = (at + HEADER_WORDS) * WORD
    bytes.write(row, from, 'latin1')
    if (value !== null) bytes.set(value, from + row.length)
  }

  /** The slot of `row`; if there is none, the complement of the slot that it may take, or `NO_SLOT`. */
  private find(row: RowKey, hash: number): number {
    const { places, hashes } = this
    const mask = places.length - 1
    let free = NO_SLOT
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const slot = (hash + probe) & mask
      const place = wordAt(places, slot)
      if (place === 0) return free === NO_SLOT ? ~slot : free
      if (place === GONE) {
        if (free === NO_SLOT) free = ~slot
      } else if (wordAt(hashes, slot) === hash && this.holds(place - 1, row)) return slot
    }
    return free
  }

  private holds(place: number, row: RowKey): boolean {
    const { words, bytes } = this.pieceAt(place)
    const at = place % this.pieceWords
    if ((wordAt(words, at + 1) & ~USED) !== row.length) return false
    const from = (at + HEADER_WORDS) * WORD
    for (let i = 0; i < row.length; i++) if (bytes[from + i] !== row.charCodeAt(i)) return false
    return true
  }

  private placeIn(slot: number): number {
    return wordAt(this.places, slot) - 1
  }

  private pieceAt(place: number): Piece {
    return elementAt(this.pieces, Math.floor(place / this.pieceWords))
  }

  private sizeAt(place: number): number {
    const { words } = this.pieceAt(place)
    const at = place % this.pieceWords
    const length = wordAt(words, at + 2)
    return wordsOf((wordAt(words, at + 1) & ~USED) + (length === ABSENT ? 0 : length))
  }

  private fill(slot: number, place: number, hash: number): void {
    this.places[slot] = place + 1
    this.hashes[slot] = hash
    this.filled += 1
  }

  /** Empties a slot. Those behind it move up, so that no search ends too early. */
  private free(slot: number): void {
    const { places, hashes } = this
    const mask = places.length - 1
    this.filled -= 1
    let hole = slot
    let moves = 0
    // No row lies farther than that from where its search begins, so none behind it is found by way of the hole.
    for (let ahead = 1; ahead < PROBES_MAX; ahead++) {
      const next = (hole + ahead) & mask
      const place = wordAt(places, next)
      if (place === 0) break
      // Not in front of where its own search begins.
      if (place === GONE || ((next - wordAt(hashes, next)) & mask) < ahead) continue
      if (moves === MOVES_MAX) {
        places[hole] = GONE
        return
      }
      places[hole] = place
      hashes[hole] = wordAt(hashes, next)
      hole = next
      ahead = 0
      moves += 1
    }
    places[hole] = 0
  }

  /** A search ends at a free slot, so there have to be some. */
  private get isCrowded(): boolean {
    return this.filled >= this.places.length * FILLED_MAX
  }

  /** More slots, or fewer rows: those of the oldest piece go although there are bytes left. */
  private makeRoom(): void {
    const { places, hashes } = this
    if (places.length >= this.slotsMax) return this.nextPiece()
    this.places = new Uint32Array(places.length * 2)
    this.hashes = new Uint32Array(places.length * 2)
    this.filled = 0
    const mask = this.places.length - 1
    for (let old = 0; old < places.length; old++) {
      const place = wordAt(places, old)
      if (place === 0 || place === GONE) continue
      const hash = wordAt(hashes, old)
      for (let probe = 0; probe < PROBES_MAX; probe++) {
        const slot = (hash + probe) & mask
        if (wordAt(this.places, slot) !== 0) continue
        this.fill(slot, place - 1, hash)
        break
      }
    }
  }

  /** Room for a row of `size` words; returns where. */
  private reserve(size: number): number {
    if (this.current < 0 || this.end + size > this.pieceWords) this.nextPiece()
    const needed = this.end + size
    const piece = elementAt(this.pieces, this.current)
    if (needed > piece.words.length) this.pieces[this.current] = enlarged(piece, needed, this.pieceWords)
    const place = this.current * this.pieceWords + this.end
    this.end = needed
    return place
  }

  private nextPiece(): void {
    if (this.current >= 0) this.ends[this.current] = this.end
    this.end = 0
    // Where the index is full, more bytes are of no use.
    if (this.pieces.length < this.piecesMax && !this.isCrowded) {
      this.current = this.pieces.length
      this.pieces.push(
        pieceOf(this.current === 0 ? Math.min(PIECE_BYTES_MIN / WORD, this.pieceWords) : this.pieceWords),
      )
      return
    }
    this.current = (this.current + 1) % this.pieces.length
    this.sweep(elementAt(this.ends, this.current))
  }

  /** Keeps rows of the current piece that are in use, and forgets the others; half of them at least when there are too many. */
  private sweep(end: number): void {
    const keptMax = (this.isCrowded ? end : this.pieceWords) / 2
    const { words } = elementAt(this.pieces, this.current)
    const base = this.current * this.pieceWords
    let size: number
    for (let at = 0; at < end; at += size) {
      size = this.sizeAt(base + at)
      const slot = this.slotOfPlace(base + at, wordAt(words, at))
      if (slot < 0) continue
      const isUsed = (wordAt(words, at + 1) & USED) !== 0
      if (!isUsed || this.end + size > keptMax) {
        this.free(slot)
        continue
      }
      words.copyWithin(this.end, at, at + size)
      words[this.end + 1] = (wordAt(words, this.end + 1) & ~USED) >>> 0
      this.places[slot] = base + this.end + 1
      this.end += size
    }
  }

  /** Negative when what is at `place` has been replaced or deleted. */
  private slotOfPlace(place: number, hash: number): number {
    const mask = this.places.length - 1
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const slot = (hash + probe) & mask
      const found = wordAt(this.places, slot)
      if (found === 0) return -1
      if (found === place + 1) return slot
    }
    return -1
  }
}

function pieceOf(size: number): Piece {
  const bytes = Buffer.alloc(size * WORD)
  return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, size) }
}

function enlarged(piece: Piece, needed: number, sizeMax: number): Piece {
  let size = piece.words.length
  while (size < needed) size = Math.min(size * 2, sizeMax)
  const larger = pieceOf(size)
  larger.words.set(piece.words)
  return larger
}

function wordsOf(bytes: number): number {
  return HEADER_WORDS + Math.ceil(bytes / WORD)
}

function wordAt(words: Uint32Array, at: number): number {
  return words[at] ?? 0
}

/** The largest power of two that is not above `number`; 1 at least. */
function powerOfTwo(number: number): number {
  return number < 2 ? 1 : 2 ** Math.floor(Math.log2(number))
}
