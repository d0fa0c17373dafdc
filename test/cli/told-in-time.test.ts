import t from 'tap'
import { runProgram } from '../../src/cli/program.ts'
import { runCli, silentTerminal } from '../support/run-cli.ts'
import { listen, problem } from './support/stand-in.ts'

t.test('lease keepalive ends by a signal while it asks for the first time', async (t) => {
  let asked = (): void => undefined
  const isAsked = new Promise<void>((resolve) => (asked = resolve))
  const server = await listen(t, () => asked())
  const ended = await runCli(['lease', 'keepalive', '7', '--server', server], { interrupt: async () => await isAsked })
  t.same([ended.code, ended.err], [0, ''])
})

t.test('what is wrong with the options is told before the input is read', async (t) => {
  let isRead = false
  const terminal = {
    ...silentTerminal,
    hasInput: true,
    input: async function* () {
      isRead = true
      yield await Promise.resolve(Buffer.from('{}'))
    },
  }
  for (const command of [
    ['kv', 'put', 'a', '-'],
    ['kv', 'txn', '-'],
  ])
    for (const wrong of [
      ['--server', 'ftp://a'],
      ['--timeout', '0'],
      ['--token-file', '/nowhere'],
      ['--ca', '/nowhere'],
    ]) {
      t.equal(await runProgram([...command, ...wrong], terminal), 1)
      t.notOk(isRead, [...command, ...wrong].join(' '))
    }
})

t.test('kv import tells its idempotency key with a failure in JSON', async (t) => {
  const server = await listen(t, (request, response) => {
    request.resume()
    problem(response, 403, 'forbidden')
  })
  const failed = await runCli(['kv', 'import', '--json', '--server', server], { input: '{"key":"a","value":"b"}\n' })
  t.equal(failed.code, 5)
  t.match(JSON.parse(failed.err), { code: 'forbidden', idempotencyKey: /^[0-9a-f-]{36}$/ })
})
