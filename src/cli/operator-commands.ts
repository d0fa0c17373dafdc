import { Argument, type Command } from 'commander'
import type { ConsistencyOptions } from './check-consistency.ts'
import type { PerfOptions } from './check-perf.ts'
import type { HealthOptions } from './check.ts'
import { shells, type Shell } from './shells.ts'
import { clientCommand, takeToken, type Ended } from './client-command.ts'
import type { ConnectionOptions } from './connection.ts'
import type { Terminal } from './terminal.ts'

/** Commands for those who run a cluster: they look, and change nothing but keys of their own. */
export function addOperatorCommands(program: Command, terminal: Terminal, ended: Ended): void {
  const check = program.command('check').description('check nodes, or a whole cluster')
  addHealth(check, terminal, ended)
  clientCommand(check, 'perf', 'write for a short time, and say whether the cluster keeps up')
    .option('--load <size>', 's: 150 puts a second (default), m: 1000, l: 8000')
    .option('--duration <duration>', 'how long to write, up to 1m (default 10s)')
    .option('--prefix <prefix>', 'where its keys are; they are removed (default quorate-check/)')
    .addHelpText('after', '\nIt does not run on a cluster that `check health --cluster` finds fault with.\n')
    .action(async (options: PerfOptions) => {
      ended(await (await import('./check-perf.ts')).perf(terminal, options))
    })
  clientCommand(check, 'consistency', 'check that what clients are told is linearizable, through all nodes at once')
    .option('--duration <duration>', 'how long, up to 10m (default 10s)')
    .option('--clients <n>', 'clients on each node (default 2)')
    .option('--prefix <prefix>', 'where its keys are; they are removed (default quorate-check/)')
    .addHelpText('after', '\nNodes may fail meanwhile. The code is 14 when a client was told what cannot be.\n')
    .action(async (options: ConsistencyOptions) => {
      ended(await (await import('./check-consistency.ts')).consistency(terminal, options))
    })
  clientCommand(
    program,
    'diagnose [file]',
    'write what a report of a fault needs into one archive (.tar.gz), or with - to the standard output',
  ).action(async (file: string | undefined, options: ConnectionOptions) => {
    ended(await (await import('./diagnose.ts')).diagnose(terminal, file, options))
  })
  program
    .command('completion')
    .description('print a script that completes commands and flags in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText('after', '\nFor bash: source <(quorate completion bash)\n')
    .action(async (shell: Shell) => {
      ended(await (await import('./completion.ts')).completion(terminal, shell, program))
    })
}

function addHealth(check: Command, terminal: Terminal, ended: Ended): void {
  const health = check
    .command('health')
    .description('check that nodes are alive: those that run on this machine, or those of --server')
    .option('-s, --server <url>', 'API of a node, or of several, all of which have to be alive: a,b,c')
    .option('--id <n>', 'only this node of those that run on this machine')
    .option('--ca <file>', 'trust servers of --server whose certificate is of one of these CAs (QUORATE_CA)')
    .option('--cert <file>', 'show this certificate to servers that demand one (QUORATE_CERT)')
    .option('--key <file>', 'the private key of --cert (QUORATE_KEY)')
  takeToken(health, 'the token for --cluster, where the cluster wants one')
    .option('--ready', 'check that they serve linearizable reads, which needs a quorum')
    .option('--cluster', 'check the whole cluster: every node is there, ready, up to date, and knows the same leader')
    .option('--timeout <duration>', 'how long an answer may take: 500ms, 2s, or seconds (default 10s)')
    .option('--json', 'print JSON')
    .action(async (options: HealthOptions) => {
      ended(await (await import('./check.ts')).health(terminal, options))
    })
}
