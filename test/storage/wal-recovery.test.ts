import { crc32 } from 'node:zlib'
import t from 'tap'
import { StorageError } from '../../src/lib/errors.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import type { LogContents, LogWrite } from '../../src/ports/log-store.ts'
import { PrefixChecksums } from '../../src/storage/wal/prefix-checksums.ts'
import { recordsIn } from '../../src/storage/wal/record.ts'
import { WalLogStore } from '../../src/storage/wal/wal-log-store.ts'
import { batch, index, logId } from '../contract/entries.ts'
import { describeLog, LogModel } from './log-model.ts'
import { MemoryFiles } from './memory-files.ts'

const SEGMENT_BYTES = 1536

async function openOn(files: MemoryFiles): Promise<{ store: WalLogStore; contents: LogContents }> {
  const store = new WalLogStore({ directory: '/log', segmentBytes: SEGMENT_BYTES, cacheBytesMax: 0 }, { files })
  return { store, contents: await store.open() }
}

function vote(term: number): LogWrite {
  return {
    type: 'hard-state',
    state: { vote: { leaderId: logId(term, 1, 0).leaderId, committed: true }, clusterId: 'c' },
  }
}

function append(term: number, first: number, last: number, bytes = 12): LogWrite {
  return { type: 'append', batch: batch(term, first, last, bytes) }
}

/** Every kind of write, alone and together, over several segments. */
const SCRIPT: readonly (readonly LogWrite[])[] = [
  [vote(1), append(1, 0, 2)],
  [append(1, 3, 6), append(1, 7, 7), append(1, 8, 12)],
  [vote(2), { type: 'truncate', from: index(10) }, append(2, 10, 14)],
  [append(2, 15, 30)],
  [append(2, 31, 40), append(2, 41, 41, 700)],
  [{ type: 'purge', purged: logId(1, 1, 9) }, append(2, 42, 44)],
  [{ type: 'truncate', from: index(40) }],
  [vote(3), append(3, 40, 60)],
  [append(3, 61, 61, 0), append(3, 62, 70)],
  [{ type: 'purge', purged: logId(3, 1, 60) }],
  [append(3, 71, 90), append(3, 91, 91, 2000)],
  [{ type: 'reset', purged: logId(4, 1, 150) }, vote(4), append(4, 151, 154)],
  [append(4, 155, 170)],
]

/** Runs the script up to write `count` and returns the disk, the log closed, and what it should hold. */
async function afterWrites(count: number): Promise<{ files: MemoryFiles; model: LogModel }> {
  const files = new MemoryFiles()
  const model = new LogModel()
  const { store } = await openOn(files)
  for (const writes of SCRIPT.slice(0, count)) {
    await store.write(writes)
    for (const write of writes) model.apply(write)
  }
  await store.close()
  return { files, model }
}

/** The contents that are found at opening; the reason when it is refused. */
async function look(files: MemoryFiles): Promise<{ text: string; contents: LogContents | null }> {
  try {
    const { store, contents } = await openOn(files)
    const text = await describeLog(store, contents)
    await store.close()
    return { text, contents }
  } catch (error) {
    if (!(error instanceof StorageError) || error.kind !== 'refused') throw error
    if (files.openDescriptors > 0) throw new Error('a refused opening leaves files open')
    return { text: `refused: ${error.message}`, contents: null }
  }
}

t.test('a crash before each call to the disk, with every kind of loss, leaves all that was acknowledged', async (t) => {
  const images: { files: MemoryFiles; allowed: Set<string>; at: string }[] = []
  const random = new SeededRandom(1)
  const files = new MemoryFiles()
  const model = new LogModel()
  let allowed = new Set<string>([model.describe()])
  let where = 'opening'
  files.beforeCall = (call, name) => {
    const at = `${where}: ${call} ${name}`
    images.push({ files: files.copy(), allowed, at: `killed, ${at}` })
    images.push({ files: files.copyUnsynced(), allowed, at: `killed and copied, ${at}` })
    images.push({ files: files.copy('killed'), allowed, at: `killed in the middle, ${at}` })
    images.push({ files: files.copy('failed'), allowed, at: `failed, ${at}` })
    images.push({ files: files.afterPowerCut(random, null), allowed, at: `power cut, ${at}` })
    if (call !== 'write') return
    const cut = random.integer(0, 200)
    images.push({
      files: files.afterPowerCut(random, { reached: (offset) => offset < cut }),
      allowed,
      at: `torn at ${cut}, ${at}`,
    })
    const sectors = new Map<number, boolean>()
    const reached = (offset: number): boolean => {
      const sector = offset >> 6
      if (!sectors.has(sector)) sectors.set(sector, random.integer(0, 2) === 0)
      return sectors.get(sector) ?? false
    }
    images.push({ files: files.afterPowerCut(random, { reached }), allowed, at: `pieces, ${at}` })
  }
  const { store } = await openOn(files)
  for (const [i, writes] of SCRIPT.entries()) {
    where = `write ${i}`
    const steps = model.steps(writes)
    allowed = new Set(steps.map((step) => step.describe()))
    await store.write(writes)
    for (const write of writes) model.apply(write)
    allowed = new Set([model.describe()])
  }
  where = 'closing'
  await store.close()

  let torn = 0
  for (const image of images) {
    const { text, contents } = await look(image.files)
    if (!image.allowed.has(text)) t.fail(`${image.at}: found ${text}`, { allowed: [...image.allowed] })
    if (contents?.lostUpTo !== null) t.fail(`${image.at}: reports a loss`, contents ?? {})
    if ((contents?.findings.length ?? 0) > 0) torn += 1
    // The next start finds the same, with nothing left to repair in the log.
    const again = await look(image.files)
    if (again.text !== text) t.fail(`${image.at}: then ${again.text}`)
    // An opening makes durable what it has shown, whatever the process before it left unsynced.
    const afterCut = await look(image.files.afterPowerCut(random, null))
    if (afterCut.text !== text) t.fail(`${image.at}: found ${text}, and after a power cut ${afterCut.text}`)
  }
  t.ok(images.length > 300, `${images.length} crashes`)
  t.ok(torn > 10, `${torn} of them left something to cut off`)
})

t.test('cut at every byte of the last records, after they were acknowledged: always noticed', async (t) => {
  const { files, model } = await afterWrites(5)
  const names = files.fileNames().filter((name) => name.endsWith('.log'))
  const last =
    names.findLast((name) =>
      files
        .content(name)
        .subarray(512)
        .some((byte) => byte !== 0),
    ) ?? ''
  let cuts = 0
  let lost = 0
  for (const name of names) {
    const content = files.content(name)
    const used = content.findLastIndex((byte) => byte !== 0) + 1
    // Every byte of the last records; of those before, some.
    for (let at = 0; at < used; at += name === last && at > used - 500 ? 1 : 13) {
      const image = files.copy()
      const cut = Buffer.from(content)
      cut.fill(0, at)
      image.put(name, cut)
      const { text, contents } = await look(image)
      cuts += 1
      if (text === model.describe() && contents?.lostUpTo === null) continue
      lost += 1
      if (contents === null || contents.lostUpTo === null || contents.lostUpTo < model.last) {
        t.fail(`${name} cut at ${at}: found ${text}, lost up to ${contents?.lostUpTo}`)
      } else if ((contents.last?.index ?? -1) >= contents.lostUpTo) {
        t.fail(`${name} cut at ${at}: the loss would count as made good`)
      }
    }
  }
  t.ok(lost > 500 && cuts - lost < 20, `${cuts} cuts, ${lost} of them lost something`)
})

t.test('a flipped bit in any byte is harmless, reported or refused: never silently wrong', async (t) => {
  const { files, model } = await afterWrites(9)
  const expected = model.describe()
  const outcomes = { harmless: 0, reported: 0, refused: 0 }
  for (const name of files.fileNames()) {
    const content = files.content(name)
    for (let at = 0; at < content.length; at += 1) {
      // Every byte of the votes and the watermark, of the segments a part.
      if (content[at] === 0 ? at % 64 !== 0 : name.endsWith('.log') && at % 3 !== 0) continue
      const image = files.copy()
      const flipped = Buffer.from(content)
      flipped.writeUInt8((content[at] ?? 0) ^ (1 << (at % 8)), at)
      image.put(name, flipped)
      const { text, contents } = await look(image)
      if (contents === null) {
        outcomes.refused += 1
        continue
      }
      const told = contents.lostUpTo
      if (told === null) {
        outcomes.harmless += 1
        if (text !== expected) t.fail(`${name} flipped at ${at}: found ${text}`)
        continue
      }
      outcomes.reported += 1
      const end = contents.last?.index ?? -1
      const entries = text.split(' ').slice(5)
      const right = expected.split(' ').filter((one) => entries.includes(one))
      // Entries that a later write replaced may come back when that write is lost; everything up to the end is owed then.
      if (right.length < entries.length && told < model.last)
        t.fail(`${name} flipped at ${at}: ${text}, lost up to ${told}`)
      if (told < model.last || end >= told) t.fail(`${name} flipped at ${at}: the end is ${end}, lost up to ${told}`)
      if (!text.startsWith(expected.split(' purged')[0] ?? '')) t.fail(`${name} flipped at ${at}: another vote`)
    }
  }
  t.ok(outcomes.harmless > 100 && outcomes.reported > 200, JSON.stringify(outcomes))
  t.equal(outcomes.refused, 0, 'one damaged copy of the vote is survived, and so is everything else')
})

t.test('what is lost stays owed over restarts until the log reaches it again', async (t) => {
  const { files, model } = await afterWrites(9)
  const name = files.fileNames().filter((one) => one.endsWith('.log'))[1] ?? ''
  const content = Buffer.from(files.content(name))
  content.writeUInt8((content[600] ?? 0) ^ 4, 600)
  files.put(name, content)
  const first = await look(files)
  t.equal(first.contents?.lostUpTo, model.last)
  t.match(first.contents?.findings.join('\n'), /damaged after entry \d+.*dropped/)
  const second = await look(files)
  t.equal(second.contents?.lostUpTo, model.last)
  t.equal(second.text, first.text)

  let end = second.contents?.last?.index ?? -1
  while (end < model.last) {
    const { store, contents } = await openOn(files)
    t.equal(contents.lostUpTo, model.last, `still owed at ${end}`)
    end = Math.min(end + 20, model.last)
    await store.write([append(9, (contents.last?.index ?? -1) + 1, end)])
    await store.close()
  }
  const whole = await look(files)
  t.equal(whole.contents?.lostUpTo, null)
  t.equal(whole.contents?.last?.index, model.last)
})

t.test('a lost write that had replaced entries takes them with it', async (t) => {
  const files = new MemoryFiles()
  const { store } = await openOn(files)
  await store.write([append(1, 0, 9)])
  const before = files.copy()
  await store.write([{ type: 'truncate', from: index(5) }, append(2, 5, 6)])
  await store.close()
  // The disk goes back to what the segments held before, and the watermark does not.
  for (const name of before.fileNames()) if (name.endsWith('.log')) files.put(name, before.content(name))
  const { text, contents } = await look(files)
  t.equal(contents?.lostUpTo, 6)
  t.match(text, /1@5$/, 'entry 6 is not left as it was, or the log would seem complete')
})

t.test('segments that are gone', async (t) => {
  const { files, model } = await afterWrites(9)
  const names = files.fileNames().filter((name) => name.endsWith('.log'))
  t.ok(names.length >= 4, names.join())
  // The last one is only ready for use.
  for (const name of names.slice(0, -1)) {
    const image = files.copy()
    image.delete(name)
    const { contents } = await look(image)
    t.ok((contents?.lostUpTo ?? -1) >= model.last, `without ${name}`)
    t.match(contents?.findings.join('\n'), /missing|beyond the damage|not all of them are left/)
  }
  const spare = files.copy()
  spare.delete(names.at(-1) ?? '')
  t.equal((await look(spare)).text, model.describe())
  const none = files.copy()
  for (const name of names) none.delete(name)
  t.equal((await look(none)).contents?.lostUpTo, model.last)
  none.delete('watermark')
  for (const name of names) if (none.fileNames().includes(name)) none.delete(name)
  t.match((await look(none)).text, /refused:.*holds a vote but no segments.*empty directory/)
})

t.test('the vote: one damaged copy is survived, two are not', async (t) => {
  const { files, model } = await afterWrites(3)
  const damage = (image: MemoryFiles, name: string): void => {
    const content = Buffer.from(image.content(name))
    content.writeUInt8((content[50] ?? 0) ^ 1, 50)
    image.put(name, content)
  }
  for (const name of ['hard-state-a', 'hard-state-b']) {
    for (const hurt of [
      damage,
      (image: MemoryFiles, one: string) => image.delete(one),
      (image: MemoryFiles, one: string) => image.put(one, Buffer.alloc(3)),
    ]) {
      const image = files.copy()
      hurt(image, name)
      const { text, contents } = await look(image)
      t.equal(text, model.describe())
      t.match(contents?.findings, [new RegExp(`${name} was (damaged|missing)`)])
      t.same((await look(image)).contents?.findings, [], 'and repaired')
    }
  }
  for (const hurt of [damage, (image: MemoryFiles, one: string) => image.delete(one)]) {
    const image = files.copy()
    hurt(image, 'hard-state-a')
    hurt(image, 'hard-state-b')
    t.match((await look(image)).text, /refused: The vote.*two leaders.*may keep its id/)
  }
})

t.test('a vote that went back is refused: the watermark knows better', async (t) => {
  const early = await afterWrites(1)
  const { files } = await afterWrites(3)
  const uuid = files.content('hard-state-a').subarray(16, 32)
  t.notOk(uuid.equals(early.files.content('hard-state-a').subarray(16, 32)), 'each log has a uuid of its own')

  const { files: disk } = await afterWrites(0)
  const { store } = await openOn(disk)
  await store.write([vote(1)])
  const old = Buffer.from(disk.content('hard-state-a'))
  await store.write([vote(2)])
  await store.close()
  disk.put('hard-state-a', old)
  disk.delete('hard-state-b')
  t.match((await look(disk)).text, /refused: The vote.*older than the last acknowledged one/)
})

t.test('files that do not belong', async (t) => {
  const { files } = await afterWrites(5)
  const other = await afterWrites(5)
  const segment = files.fileNames().find((name) => name.endsWith('.log')) ?? ''
  const cases: [string, (image: MemoryFiles) => void, RegExp][] = [
    ['a stranger', (image) => image.put('notes.txt', Buffer.alloc(1)), /notes.txt is not a file of the log/],
    ['a segment of another log', (image) => image.put(segment, other.files.content(segment)), /belongs to another log/],
    [
      'a vote of another log',
      (image) => image.put('hard-state-b', other.files.content('hard-state-b')),
      /two different logs/,
    ],
    [
      'a renamed segment',
      (image) => image.put('0000000009.log', image.content(segment)),
      /segment 1 under the name of another segment/,
    ],
    [
      'a newer segment',
      (image) => image.put(segment, newer(image.content(segment))),
      /format 2.*knows formats up to 1/,
    ],
    [
      'a newer vote',
      (image) => image.put('hard-state-a', newer(image.content('hard-state-a'))),
      /hard-state-a has format 2/,
    ],
    [
      'a newer watermark',
      (image) => image.put('watermark', newer(image.content('watermark'))),
      /watermark has format 2/,
    ],
  ]
  for (const [what, plant, message] of cases) {
    const image = files.copy()
    plant(image)
    const { text } = await look(image)
    t.match(text, /^refused: /, what)
    t.match(text, message, what)
  }
  const left = files.copy()
  for (const name of ['0000000007.log.tmp', '0000000003.log.freed.tmp', 'watermark.tmp'])
    left.put(name, Buffer.alloc(10))
  t.notMatch((await look(left)).text, /refused/)
  t.notOk(
    left.fileNames().some((name) => name.endsWith('.tmp')),
    'what an interrupted creation left is removed',
  )
})

t.test('a missing or damaged watermark is said, and the log opens', async (t) => {
  for (const content of [null, Buffer.alloc(0), Buffer.alloc(5000, 7)]) {
    const { files, model } = await afterWrites(5)
    if (content === null) files.delete('watermark')
    else files.put('watermark', content)
    const { text, contents } = await look(files)
    t.equal(text, model.describe())
    t.match(contents?.findings, [/watermark is missing or damaged/])
    t.same((await look(files)).contents?.findings, [])
  }
})

t.test('a checksum of any part of a buffer is that of the part', async (t) => {
  const random = new SeededRandom(1)
  for (const size of [1, 1023, 1024, 1025, 100_000]) {
    const content = Buffer.from(Array.from({ length: size }, () => random.integer(0, 256)))
    const checksums = new PrefixChecksums(content)
    for (let n = 0; n < 200; n++) {
      const from = random.integer(0, size + 1)
      const to = random.integer(from, size + 1)
      const seed = random.integer(0, 2 ** 32)
      if (checksums.of(from, to, seed) !== crc32(content.subarray(from, to), seed))
        t.fail(`${from} to ${to} of ${size}`)
    }
  }
})

t.test('what seems to be a record in old content costs no more when it claims to be long', async (t) => {
  const segment = 7
  const content = Buffer.alloc(4 * 1024 ** 2, 1)
  const heads = 4_000
  const claim = (length: number): void => {
    for (let n = 0; n < heads; n++) {
      const at = n * 24
      content.writeUInt32LE(0x5251_4344, at)
      content.writeUInt32LE(length, at + 8)
      content.writeUInt32LE(segment, at + 16)
    }
  }
  const searchMs = (): number => {
    const before = process.cpuUsage()
    t.same([...recordsIn(content, 0, content.length, segment, 1)], [])
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  claim(80)
  searchMs()
  const short = searchMs()
  claim(content.length - heads * 24)
  t.ok(searchMs() < 10 * short + 100)
})

t.test('recycled segments never bring old records back', async (t) => {
  const files = new MemoryFiles()
  const model = new LogModel()
  const { store } = await openOn(files)
  const names = new Set<string>()
  for (let i = 0; i < 60; i++) {
    const writes = [append(1, i * 4, i * 4 + 3, 40), { type: 'purge', purged: logId(1, 1, i * 4 + 1) } as const]
    await store.write(writes)
    for (const write of writes) model.apply(write)
    for (const name of files.fileNames()) names.add(name)
    const { text } = await look(files.copy())
    t.equal(text, model.describe())
  }
  t.ok(files.fileNames().length < 9, `bounded: ${files.fileNames().join()}`)
  t.ok(
    [...names].some((name) => name.endsWith('.freed.tmp')),
    'segments were recycled',
  )
  t.ok(store.sizeBytes() <= 4 * SEGMENT_BYTES, `${store.sizeBytes()} bytes`)
  await store.close()
  let lost = 0
  for (const name of files.fileNames().filter((one) => one.endsWith('.log'))) {
    const content = Buffer.from(files.content(name))
    content.fill(0, 512)
    const image = files.copy()
    image.put(name, content)
    const { contents } = await look(image)
    // The segment that is ready for use, and one that holds only a purge mark, are no loss.
    if (contents?.lostUpTo === null) t.equal(contents.last?.index, model.last, name)
    else lost += 1
  }
  t.ok(lost > 0)
})

/** `content` with the prefix of a later format. */
function newer(content: Buffer): Buffer {
  const changed = Buffer.from(content)
  for (const at of [0, 4096]) {
    if (at + 16 > changed.length || changed.readUInt32LE(at + 8) !== 1) continue
    changed.writeUInt32LE(2, at + 8)
    changed.writeUInt32LE(crc32(changed.subarray(at, at + 12)), at + 12)
  }
  return changed
}
