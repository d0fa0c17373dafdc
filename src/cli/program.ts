import { Command, CommanderError } from 'commander'
import { describeSettings } from '../config/config.ts'
import { version } from '../version.ts'
import { addAuthCommands } from './auth-commands.ts'
import type { BackupOptions, VerifyOptions } from './backup.ts'
import { clientCommand, type Ended } from './client-command.ts'
import type { StatusOptions } from './cluster-status.ts'
import type { AddLearnerOptions, InitializeOptions, SetAddressesOptions, VoterOptions } from './cluster.ts'
import type { ShowOptions } from './config.ts'
import type { ConnectionOptions } from './connection.ts'
import type { DevOptions } from './dev.ts'
import { addKeyCommands } from './key-commands.ts'
import { addOperatorCommands } from './operator-commands.ts'
import type { RecoverOptions } from './recover.ts'
import type { RestoreOptions } from './restore.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'
import { checkWords } from './words.ts'

const ENDS = `
Exit codes:
  ${exitCodes.stopped}   stopped as asked
  ${exitCodes.usage}   the configuration is wrong
  ${exitCodes.refused}   refused to start; another start says the same
  ${exitCodes.storageFault}   stopped by a storage fault: look at the disk before you start it again
  ${exitCodes.brokenInvariant}   stopped by a broken invariant or an unexpected error
  ${exitCodes.addressUnavailable}  an address is not there, or its name cannot be looked up; another start may succeed
`

/**
 * Carries out one command line and returns the exit code of the process.
 *
 * Each command imports what it needs when it runs: `quorate kv get` loads neither the server nor RocksDB.
 */
export async function runProgram(words: readonly string[], terminal: Terminal): Promise<number> {
  let code: number = exitCodes.stopped
  const program = buildProgram(terminal, (ended) => {
    code = ended
  })
  try {
    checkWords(words, () => terminal.commandLine())
    await program.parseAsync([...words], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.stopped : exitCodes.usage
    if (!(error instanceof UsageError)) throw error
    terminal.printError(`quorate: ${error.message}\n`)
    return exitCodes.usage
  }
}

function buildProgram(terminal: Terminal, ended: Ended): Command {
  const program = new Command('quorate')
    .description('A replicated key-value store on Raft')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('--help after a command shows its arguments and options.')
    .configureHelp({
      optionDescription: (option) => (option.mandatory ? `${option.description} (required)` : option.description),
    })
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'quorate: ')),
      writeOut: (text) => terminal.print(text),
      writeErr: (text) => terminal.printError(text),
    })
  addNodeCommands(program, terminal, ended)
  addBackupCommands(program, terminal, ended)
  addKeyCommands(program, terminal, ended)
  addClusterCommands(program.command('cluster').description('inspect and change the cluster'), terminal, ended)
  addAuthCommands(program, terminal, ended)
  addConfigCommands(program.command('config').description('the settings of a node'), terminal, ended)
  addOperatorCommands(program, terminal, ended)
  return program
}

/** `config/` reads the flags of `serve`, because it knows more about them than commander can. */
function describeFlags(): string {
  const lines = describeSettings().map(({ flag, variable, initial, summary, allowed }) => {
    const shown = initial === 'required' ? ' (required)' : initial === '' ? '' : ` (default ${initial})`
    return `  ${flag}${shown}\n      ${summary}\n      allowed: ${allowed}\n      ${variable}\n`
  })
  return `\nFlags, each also an environment variable and a key of the file of --config:\n${lines.join('')}`
}

function addConfigCommands(config: Command, terminal: Terminal, ended: Ended): void {
  config
    .command('check <file>')
    .description('check a configuration file, without the environment; nothing is started')
    .action(async (file: string) => {
      ended((await import('./config.ts')).checkFile(terminal, file))
    })
  config
    .command('show')
    .description('show the settings that `serve` would have with these flags, each with where it comes from')
    .usage('[--json] [flags of serve]')
    .option('--json', 'print JSON')
    .allowUnknownOption()
    .argument('[flags...]')
    .action(async (_flags: string[], options: ShowOptions, command: Command) => {
      ended((await import('./config.ts')).show(terminal, command.args, options))
    })
}

function addNodeCommands(program: Command, terminal: Terminal, ended: Ended): void {
  program
    .command('serve')
    .description('run one node; --help lists the flags')
    .usage('--id N --data-dir DIR [flags]')
    .allowUnknownOption()
    .argument('[flags...]')
    .addHelpText('after', () => describeFlags() + ENDS)
    .action(async (_flags: string[], _options: object, command: Command) => {
      const { serve } = await import('./serve.ts')
      ended(await serve(terminal, command.args))
    })
  program
    .command('recover')
    .description('turn one survivor of a lost quorum into a cluster of its own; the node must be stopped')
    .requiredOption('--data-dir <dir>', 'the data directory of the survivor')
    .option('--id <n>', 'refuse if the directory belongs to another node')
    .option('--raft <host:port>', 'a new address for its peers')
    .option('--api <host:port>', 'a new address for its clients')
    .option('--reset-auth', 'remove all roles and tokens: for when every admin token is lost')
    .option('--revision-gap <n>', 'how many revisions are left out after those of the survivor (default 1000000000)')
    .option('--yes', 'do it; without this, only say what would be done')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
The lost nodes may have given out revisions, ETags and fencing tokens that this one does not know. The gap keeps the new cluster from giving
them out again; the history before it is compacted. With --revision-gap 0 revisions go on where the survivor ends, and its history can be
read. Do this only when nothing is lost, or no client of the old cluster will talk to the new one.
`,
    )
    .action(async (options: RecoverOptions) => {
      const { recover } = await import('./recover.ts')
      ended(await recover(terminal, options))
    })
  program
    .command('dev')
    .description('run a cluster on this machine')
    .option('--nodes <n>', 'how many nodes (default 3)')
    .option('--port <n>', "the port of the first node's API; the others follow (default 7001)")
    .option('--data-dir <dir>', 'keep the data (default: a temporary directory, removed at the end)')
    .option('--tls', 'with TLS for clients and peers, by certificates of a CA that is thrown away')
    .option('--log-level <level>', 'the log level of the nodes', 'warn')
    .option('--json', 'print one JSON line once the cluster is ready')
    .action(async (options: DevOptions) => {
      const { dev } = await import('./dev.ts')
      ended(await dev(terminal, options))
    })
}

function addBackupCommands(program: Command, terminal: Terminal, ended: Ended): void {
  const backup = clientCommand(
    program,
    'backup [file]',
    'write the state of the cluster to a file, or with - to the standard output',
  )
    .option('--stale', 'what the node has, without asking for a leader')
    .addHelpText(
      'after',
      '\nThe file is checked while it is written, and has its name once it is whole and on the disk.\n',
    )
    .action(async (file: string | undefined, options: BackupOptions) => {
      ended(await (await import('./backup.ts')).backup(terminal, file, options))
    })
  backup
    .command('verify <file>')
    .description('check a backup, every bit of it, and say what is in it; - reads the standard input')
    .option('--json', 'print JSON')
    .action(async (file: string, options: VerifyOptions) => {
      ended(await (await import('./backup.ts')).verify(terminal, file, options))
    })
  program
    .command('restore <file>')
    .description('make the data directory of one node of a new cluster from a backup; - reads the standard input')
    .requiredOption('--data-dir <dir>', 'the directory to make: empty, or not there')
    .requiredOption('--id <n>', 'the node that the directory is for')
    .requiredOption('--members <id,raft,api...>', 'all members of the new cluster, this node included')
    .option('--cluster-token <text>', 'the one that the nodes will be started with (QUORATE_CLUSTER_TOKEN)')
    .option('--name <text>', 'tells this restore from others of the same backup: the same text for every node')
    .option('--revision-gap <n>', 'how many revisions are left out after those of the backup (default 1000000000)')
    .option('--dry-run', 'check everything, and change nothing')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Run it for every member of the new cluster, with the same file and the same --members, --cluster-token, --name and --revision-gap; then start
the nodes. It all happens or nothing: what is interrupted is no data directory, and is begun anew by the next run.

With --revision-gap 0 revisions go on where the backup ends, and its history can be read. Do this only when no client of the old cluster will
talk to the new one: it may have seen revisions that are then given out again.
`,
    )
    .action(async (file: string, options: RestoreOptions) => {
      ended(await (await import('./restore.ts')).restore(terminal, file, options))
    })
}

function addClusterCommands(cluster: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(cluster, 'status', 'show the cluster, as seen by the node that knows most')
    .option('--watch [interval]', 'repeat at this interval (default 1s) until Ctrl-C')
    .action(async (options: StatusOptions) => {
      ended(await (await import('./cluster-status.ts')).status(terminal, options))
    })
  clientCommand(cluster, 'initialize', 'form a new cluster; without --member, of the one node that --server names')
    .option('--member <id,raft,api>', 'an initial voter, this node included; repeat for each', collect)
    .option('--wait <stage>', 'when to return: appended, leader or committed (default)')
    .action(async (options: InitializeOptions) => {
      ended(await (await import('./cluster.ts')).initialize(terminal, options))
    })
  clientCommand(cluster, 'add-learner <id>', 'add a node without a vote, and wait until it has caught up')
    .requiredOption('--raft <host:port>', 'where its peers reach it')
    .requiredOption('--api <host:port>', 'where its clients reach it')
    .option('--no-wait', 'return once the change is committed')
    .action(async (id: string, options: AddLearnerOptions) => {
      ended(await (await import('./cluster.ts')).addLearner(terminal, id, options))
    })
  voterCommand(cluster, 'promote <ids>', 'make learners voters').action(async (ids: string, options: VoterOptions) => {
    ended(await (await import('./cluster.ts')).promote(terminal, ids, options))
  })
  voterCommand(cluster, 'set-voters <ids>', 'make exactly these nodes the voters (1,2,4)').action(
    async (ids: string, options: VoterOptions) => {
      ended(await (await import('./cluster.ts')).setVoters(terminal, ids, options))
    },
  )
  voterCommand(cluster, 'remove <id>', 'remove a voter or a learner').action(
    async (id: string, options: VoterOptions) => {
      ended(await (await import('./cluster.ts')).remove(terminal, id, options))
    },
  )
  clientCommand(cluster, 'set-addresses <id>', 'change the addresses of a member')
    .requiredOption('--raft <host:port>', 'where its peers reach it')
    .requiredOption('--api <host:port>', 'where its clients reach it')
    .option('--force', 'do not check which node answers there')
    .action(async (id: string, options: SetAddressesOptions) => {
      ended(await (await import('./cluster.ts')).setAddresses(terminal, id, options))
    })
  clientCommand(cluster, 'transfer [id]', 'hand leadership to a voter, or to the one that is furthest ahead').action(
    async (id: string | undefined, options: ConnectionOptions) => {
      ended(await (await import('./cluster.ts')).transfer(terminal, id, options))
    },
  )
}

function voterCommand(cluster: Command, usage: string, description: string): Command {
  return clientCommand(cluster, usage, description)
    .option(
      '--retain',
      'voters that leave stay as learners; a leader with --auto-join promotes them again below --voters-target',
    )
    .option('--allow-lagging', 'even if a new voter has not caught up')
    .option('--force', 'even if the new voters would have no live quorum')
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
