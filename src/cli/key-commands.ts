import type { Command } from 'commander'
import { clientCommand, type Ended } from './client-command.ts'
import type { ConnectionOptions } from './connection.ts'
import type { ExportOptions } from './kv-export.ts'
import type { CompactOptions, HistoryOptions, RetentionOptions } from './kv-history.ts'
import type { ImportOptions } from './kv-import.ts'
import type { WatchOptions } from './kv-watch.ts'
import type { DeleteOptions, GetOptions, ListOptions, PutOptions } from './kv.ts'
import type { GrantOptions, KeepaliveOptions } from './lease.ts'
import type { LockOptions } from './lock.ts'
import type { LocksOptions } from './locks.ts'
import type { Terminal } from './terminal.ts'

/** The commands on keys, leases and locks. */
export function addKeyCommands(program: Command, terminal: Terminal, ended: Ended): void {
  const kv = program.command('kv').description('read and write keys')
  addKvCommands(kv, terminal, ended)
  addBulkCommands(kv, terminal, ended)
  addLeaseCommands(program.command('lease').description('what lasts for a while'), terminal, ended)
  addLockCommands(program, terminal, ended)
}

function addKvCommands(kv: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(kv, 'get <key>', "print a key's value")
    .option('--consistency <level>', 'linearizable (default), lease or stale')
    .option('--revision <n>', 'as it was at this revision')
    .action(async (key: string, options: GetOptions) => {
      ended(await (await import('./kv.ts')).get(terminal, key, options))
    })
  clientCommand(
    kv,
    'put <key> [value]',
    'write a key; without a value, or with -, the value comes from the standard input',
  )
    .option('--file <path>', 'take the value from a file')
    .option('--if-revision <n>', 'only if the key is at this revision')
    .option('--create', 'only if the key is absent')
    .option('--ttl <duration>', 'the key goes this long after it was written (1s to 720h), unless it is written again')
    .option('--lease <id>', 'the key goes with this lease, which `quorate lease grant` makes')
    .action(async (key: string, value: string | undefined, options: PutOptions) => {
      ended(await (await import('./kv.ts')).put(terminal, key, value, options))
    })
  clientCommand(kv, 'del [key]', 'delete a key; an absent key is not an error')
    .option('--if-revision <n>', 'only if the key is at this revision')
    .option('--prefix', 'delete every key that starts with this, in one change')
    .option('--chunked', 'with --prefix or --all: delete in as many changes as it takes')
    .option('--all', 'delete every key, in one change')
    .action(async (key: string | undefined, options: DeleteOptions) => {
      ended(await (await import('./kv.ts')).remove(terminal, key, options))
    })
  clientCommand(kv, 'watch [key]', 'print changes as they happen, of a key, a range or everything, until Ctrl-C')
    .option('--prefix <prefix>', 'every key that starts with this')
    .option('--start <key>', 'the first key of a range')
    .option('--end <key>', 'the end of the range: this key is not in it')
    .option('--since <revision>', 'begin with the changes after this revision (default: now)')
    .option('--prev', 'show what was there before each change')
    .action(async (key: string | undefined, options: WatchOptions) => {
      ended(await (await import('./kv-watch.ts')).watch(terminal, key, options))
    })
  clientCommand(kv, 'ls [prefix]', 'list keys, ordered by their bytes')
    .option('--keys-only', 'list the keys without their values')
    .option('--reverse', 'from the last key to the first')
    .option('--limit <n>', 'at most this many keys')
    .option('--consistency <level>', 'linearizable (default), lease or stale')
    .option('--revision <n>', 'as they were at this revision')
    .action(async (prefix: string | undefined, options: ListOptions) => {
      ended(await (await import('./kv.ts')).list(terminal, prefix ?? '', options))
    })
  clientCommand(kv, 'history <key>', 'list the versions of a key that can still be read, the newest first')
    .option('--limit <n>', 'at most this many versions')
    .option('--consistency <level>', 'linearizable (default), lease or stale')
    .action(async (key: string, options: HistoryOptions) => {
      ended(await (await import('./kv-history.ts')).history(terminal, key, options))
    })
  clientCommand(kv, 'compact [revision]', 'forget what is older than a revision')
    .option('--show', 'change nothing: show how much history there is, and how much is kept')
    .action(async (revision: string | undefined, options: CompactOptions) => {
      ended(await (await import('./kv-history.ts')).compact(terminal, revision, options))
    })
  clientCommand(kv, 'retention', 'show how much history is kept, or change it for the whole cluster')
    .option('--revisions <n>', 'how many changes at most; 0: no history')
    .option('--age <duration>', 'how long at most, such as 24h')
    .option('--bytes <size>', 'how many bytes at most, such as 1GiB')
    .action(async (options: RetentionOptions) => {
      ended(await (await import('./kv-history.ts')).retention(terminal, options))
    })
}

/** Commands on many keys at once. */
function addBulkCommands(kv: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(
    kv,
    'export [file]',
    'write a range of records to a file, or with - or none to the standard output, a line each',
  )
    .option('--prefix <prefix>', 'the keys that start with this (default: every key)')
    .option('--start <key>', 'from this key on')
    .option('--end <key>', 'up to this key, without it')
    .option('--consistency <level>', 'linearizable (default), lease or stale')
    .action(async (file: string | undefined, options: ExportOptions) => {
      ended(await (await import('./kv-export.ts')).exportRecords(terminal, file, options))
    })
  clientCommand(
    kv,
    'import [file]',
    'write the records of a file, or with - or none of the standard input, a line each',
  )
    .option('--idempotency-key <name>', 'the name of an attempt that failed: what it has written is not written again')
    .action(async (file: string | undefined, options: ImportOptions) => {
      ended(await (await import('./kv-import.ts')).importRecords(terminal, file, options))
    })
  clientCommand(
    kv,
    'txn [file]',
    'carry out a transaction; its JSON from a file, or with - or none from the standard input',
  )
    .addHelpText(
      'after',
      `
{"compare": [{"key": "a", "target": "version", "op": "=", "value": 0}],
 "success": [{"put": {"key": "a", "value": "new"}}],
 "failure": [{"get": {"key": "a"}}]}
creates a key, or reads it when it is there. The code is 7 when a comparison did not hold.
`,
    )
    .action(async (file: string | undefined, options: ConnectionOptions) => {
      ended(await (await import('./kv-transaction.ts')).transact(terminal, file, options))
    })
}

function addLeaseCommands(lease: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(lease, 'grant <length>', 'grant a lease of this length (10s, 5m, 720h), and print its id')
    .option('--id <n>', 'an id of your own; otherwise the cluster makes one')
    .action(async (length: string, options: GrantOptions) => {
      ended(await (await import('./lease.ts')).grant(terminal, length, options))
    })
  clientCommand(lease, 'keepalive <id>', 'keep a lease alive until Ctrl-C')
    .option('--once', 'renew it once')
    .action(async (id: string, options: KeepaliveOptions) => {
      ended(await (await import('./lease.ts')).keepalive(terminal, id, options))
    })
  clientCommand(lease, 'get <id>', 'how long a lease lasts, and the keys that go with it').action(
    async (id: string, options: ConnectionOptions) => {
      ended(await (await import('./lease.ts')).get(terminal, id, options))
    },
  )
  clientCommand(lease, 'list', 'list the leases').action(async (options: ConnectionOptions) => {
    ended(await (await import('./lease.ts')).list(terminal, options))
  })
  clientCommand(lease, 'revoke <id>', 'end a lease; the keys that go with it are deleted').action(
    async (id: string, options: ConnectionOptions) => {
      ended(await (await import('./lease.ts')).revoke(terminal, id, options))
    },
  )
}

function addLockCommands(program: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(program, 'lock <name> <command...>', 'run a command while it holds a lock')
    .usage('[options] <name> -- <command...>')
    .passThroughOptions()
    .option('--ttl <duration>', 'how long the lock outlives a holder that is gone (default 10s)')
    .option('--wait <duration>', 'how long to wait for the lock, up to 1m (default: not at all)')
    .option('--owner <text>', 'what others may read about the holder (default: this machine and process)')
    .addHelpText(
      'after',
      `
The command finds the fencing token in QUORATE_LOCK_TOKEN. It gets SIGTERM when the lock is lost. The code is its own;
7 when somebody else holds the lock.
`,
    )
    .action(async (name: string, words: string[], _options: LockOptions, parser: Command) => {
      const command = commandIn(words, parser)
      ended(await (await import('./lock.ts')).lock(terminal, name, command, parser.opts<LockOptions>()))
    })
  clientCommand(program, 'locks [prefix]', 'list the locks that somebody holds, ordered by the bytes of their names')
    .option('--waiters', 'also who waits for each, in the order in which they get it')
    .option('--limit <n>', 'at most this many locks')
    .addHelpText('after', '\n`quorate lease revoke` with the lease of a holder takes the lock away from it.\n')
    .action(async (prefix: string | undefined, options: LocksOptions) => {
      ended(await (await import('./locks.ts')).locks(terminal, prefix ?? '', options))
    })
}

/**
 * The command to run. The parser leaves all that follows the name alone, since it may be of the command: up to the two dashes, or to the first word
 * that is no option, it is of `lock`.
 */
function commandIn(words: readonly string[], parser: Command): readonly string[] {
  const { operands, unknown } = parser.parseOptions([...words])
  const [option] = unknown
  if (option === '--help' || option === '-h') parser.help()
  if (option !== undefined) parser.error(`error: unknown option '${option}'`)
  return operands
}
