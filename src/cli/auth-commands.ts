import type { Command } from 'commander'
import type { BootstrapOptions, RoleOptions, TokenOptions } from './auth.ts'
import { clientCommand, type Ended } from './client-command.ts'
import type { ConnectionOptions } from './connection.ts'
import type { Terminal } from './terminal.ts'

/** Commands about roles and tokens. */
export function addAuthCommands(program: Command, terminal: Terminal, ended: Ended): void {
  const auth = program.command('auth').description('roles and tokens: who may do what')
  clientCommand(auth, 'bootstrap', 'make the first token, which may do everything; then every request needs one')
    .option('--name <name>', 'who holds it (default admin)')
    .option(
      '--token-secret-file <file>',
      'a file with the secret that the token is to have (default: a new one, printed)',
    )
    .option('--secret-file <file>', 'the file of --auth-bootstrap-file, if this is not the machine of the leader')
    .addHelpText(
      'after',
      '\nOnce in the life of a cluster. This command draws the secret and sends it, so that a lost answer is asked for again.\n' +
        'The secret goes to the standard output, and is not shown again. With --token-secret-file, run it as often as you like:\n' +
        'the same secret has the same answer.\n',
    )
    .action(async (options: BootstrapOptions) => {
      ended(await (await import('./auth.ts')).bootstrap(terminal, options))
    })
  clientCommand(auth, 'self', 'what the token of this command is, and what it may do').action(
    async (options: ConnectionOptions) => {
      ended(await (await import('./auth.ts')).self(terminal, options))
    },
  )
  addRoleCommands(auth.command('role').description('what tokens may do'), terminal, ended)
  addTokenCommands(auth.command('token').description('who may do it'), terminal, ended)
}

function addRoleCommands(role: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(role, 'put <name>', 'make a role, or replace what it allows')
    .option(
      '--grant <grant>',
      'ACCESS:prefix=TEXT, ACCESS:key=TEXT or ACCESS:range=START..END; ACCESS: read, write or read-write; repeat for each',
      collect,
    )
    .option('--right <right>', 'cluster:read, cluster:admin or auth:admin; repeat for each', collect)
    .option('--nothing', 'a role that allows nothing, instead of --grant and --right')
    .action(async (name: string, options: RoleOptions) => {
      ended(await (await import('./auth.ts')).putRole(terminal, name, options))
    })
  clientCommand(role, 'get <name>', 'show a role').action(async (name: string, options: ConnectionOptions) => {
    ended(await (await import('./auth.ts')).getRole(terminal, name, options))
  })
  clientCommand(role, 'list', 'show all roles').action(async (options: ConnectionOptions) => {
    ended(await (await import('./auth.ts')).listRoles(terminal, options))
  })
  clientCommand(role, 'delete <name>', 'delete a role that no token has').action(
    async (name: string, options: ConnectionOptions) => {
      ended(await (await import('./auth.ts')).deleteRole(terminal, name, options))
    },
  )
}

function addTokenCommands(token: Command, terminal: Terminal, ended: Ended): void {
  clientCommand(token, 'create <name>', 'make a token for who is called so, and print its secret, this once')
    .option('--role <name>', 'a role that it has; repeat for each (at least one)', collect)
    .option(
      '--certificate-name <cn>',
      'instead of a secret: the common name of the client certificates that stand for it',
    )
    .option('--ttl <duration>', 'when it ends, from now on: 12h (default: never)')
    .option('--requests-per-second <n>', 'how many requests it may make to each node')
    .option('--bytes-per-second <n>', 'how many bytes it may send to each node, and get from it')
    .action(async (name: string, options: TokenOptions) => {
      ended(await (await import('./auth.ts')).createToken(terminal, name, options))
    })
  clientCommand(token, 'list', 'show all tokens, without their secrets').action(async (options: ConnectionOptions) => {
    ended(await (await import('./auth.ts')).listTokens(terminal, options))
  })
  clientCommand(token, 'revoke <id>', 'end a token, at once and on every node').action(
    async (id: string, options: ConnectionOptions) => {
      ended(await (await import('./auth.ts')).revokeToken(terminal, id, options))
    },
  )
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
