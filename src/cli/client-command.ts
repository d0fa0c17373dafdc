import type { Command } from 'commander'

/** Told of the exit code of a command. */
export type Ended = (code: number) => void

/** A command that talks to a server. */
export function clientCommand(parent: Command, usage: string, description: string): Command {
  const command = parent
    .command(usage)
    .description(description)
    .option(
      '-s, --server <url>',
      'API of any node, or of several: a,b,c (QUORATE_SERVER, else QUORATE_API; default http://127.0.0.1:7001)',
    )
    .option('--ca <file>', 'trust servers whose certificate is of one of these CAs (QUORATE_CA; default: the system)')
    .option('--cert <file>', 'show this certificate to servers that demand one (QUORATE_CERT)')
    .option('--key <file>', 'the private key of --cert (QUORATE_KEY)')
  return takeToken(command, 'the token, for a cluster that wants one')
    .option('--timeout <duration>', 'how long the request may take: 500ms, 30s, or seconds (default 10s)')
    .option('--json', 'print JSON')
}

/** `meaning`: what the token is for. */
export function takeToken(command: Command, meaning: string): Command {
  return command
    .option('--token <secret>', `${meaning}; other users of the machine can see it (QUORATE_TOKEN)`)
    .option('--token-file <file>', 'a file with the token (QUORATE_TOKEN_FILE)')
}
