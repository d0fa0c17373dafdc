import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { crc32 } from '../../src/lib/checksum.ts'
import { BlockReader } from '../../src/node/backup/block-reader.ts'
import { BACKUP_FORMAT, BlockWriter } from '../../src/node/backup/format.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'

/** `bytes` as a later version would begin them: with a format that this one does not know. */
function inLaterFormat(bytes: Uint8Array): Buffer {
  const later = Buffer.from(bytes)
  later.writeUInt32LE(BACKUP_FORMAT + 1, 8)
  later.writeUInt32LE(crc32(later.subarray(0, 12)), 12)
  return later
}

/** A backup whose cluster is at a feature level that this version does not know, taken by `version`. */
async function atLaterLevel(bytes: Uint8Array, version: string): Promise<Buffer> {
  const reader = new BlockReader(
    (async function* () {
      yield bytes
    })(),
  )
  await reader.prefix()
  const { body } = await reader.next()
  await reader.close()
  const header = { ...(JSON.parse(Buffer.from(body).toString('utf8')) as object), featureLevel: 9_999, version }
  const written = Buffer.from(JSON.stringify(header))
  const writer = new BlockWriter()
  return Buffer.concat([writer.prefix(), writer.head('header', written), written, writer.end()])
}

/** What `etcdctl snapshot save` writes begins with a page of bbolt: 16 bytes, then a magic number and a version. */
function etcdSnapshot(): Buffer {
  const pages = Buffer.alloc(8_192)
  pages.writeUInt16LE(4, 8)
  pages.writeUInt32LE(0xed_0c_da_ed, 16)
  pages.writeUInt32LE(2, 20)
  return pages
}

/** The first page of a database of SQLite. */
function sqliteDatabase(): Buffer {
  const page = Buffer.alloc(4_096)
  page.write('SQLite format 3\0', 'latin1')
  page.writeUInt16BE(4_096, 16)
  return page
}

t.test(
  'backups of later versions, and files that are none, are refused in a sentence; nothing is half done',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const node = await startTestNode(t, 1, join(await temporaryDirectory(t), 'node'))
    const environment = { QUORATE_SERVER: node.addresses.api }
    const sound = join(directory, 'sound.backup')
    for (const words of [
      ['cluster', 'initialize'],
      ['kv', 'put', 'a', 'b'],
      ['backup', sound],
    ])
      t.equal((await runCli(words, { environment })).code, 0, words.join(' '))
    const bytes = await readFile(sound)
    const target = join(directory, 'target')
    const restore = (file: string, ...more: string[]) =>
      runCli([
        'restore',
        file,
        '--data-dir',
        target,
        '--id',
        '1',
        '--members',
        '1,127.0.0.1:7101,127.0.0.1:7001',
        ...more,
      ])

    const files: readonly (readonly [
      name: string,
      content: Uint8Array,
      code: string,
      says: RegExp,
      advises: RegExp,
    ])[] = [
      [
        'format',
        inLaterFormat(bytes),
        'backup-newer',
        /it has format \d+, and this version knows formats up to \d+: use the version that wrote it or a later one$/,
        /`quorate --version` tells/,
      ],
      [
        'level',
        await atLaterLevel(bytes, '9.8.7'),
        'backup-newer',
        /it is at feature level 9999, and this version knows levels up to \d+: use version 9\.8\.7, which wrote it, or a later one$/,
        /`quorate --version` tells/,
      ],
      [
        'etcd',
        etcdSnapshot(),
        'backup-foreign',
        /a database of etcd \(bbolt\), as `etcdctl snapshot save` writes it$/,
        /`quorate backup FILE` makes one/,
      ],
      [
        'sqlite',
        sqliteDatabase(),
        'backup-foreign',
        /a database of SQLite, such as a backup of rqlite$/,
        /`quorate backup FILE` makes one/,
      ],
      [
        'gzip',
        gzipSync(bytes),
        'backup-foreign',
        /a file that was compressed with gzip: unpack it first \(gunzip\)$/,
        /`quorate backup FILE` makes one/,
      ],
    ]
    for (const [name, content, code, says, advises] of files) {
      const file = join(directory, name)
      await writeFile(file, content)
      const before = (await readdir(directory)).toSorted()
      for (const more of [[], ['--dry-run']]) {
        const told = await restore(file, ...more)
        const [sentence = '', advice = '', ...rest] = told.err.split('\n')
        t.same(
          [told.code, told.out, rest],
          [exitCodes.backupUnusable, '', ['']],
          `${name}: two lines, and nothing else`,
        )
        t.ok(sentence.startsWith(`quorate: ${file} cannot be used: it `), sentence)
        t.match(sentence, says)
        t.match(advice, advises)
        t.match(JSON.parse((await restore(file, ...more, '--json')).err), { code, detail: says })
        t.same((await readdir(directory)).toSorted(), before, `${name}: no directory is begun`)
      }
    }
    // None of them has left anything that stands in the way of the right one.
    const done = await restore(sound)
    t.equal(done.code, 0, done.err)
  },
)
