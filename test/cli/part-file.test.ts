import { promises } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { PartFile } from '../../src/cli/part-file.ts'
import { silentTerminal } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** Until the test ends, closing a part gives an error. */
function failToClose(t: Test): void {
  const { open } = promises
  const becomes = (opens: typeof open): void => {
    promises.open = opens
    syncBuiltinESMExports()
  }
  becomes(async (...given) => {
    const handle = await open(...given)
    if (!String(given[0]).endsWith('.part')) return handle
    const close = handle.close.bind(handle)
    handle.close = async () => {
      await close()
      throw new Error('the disk is gone')
    }
    return handle
  })
  t.teardown(() => becomes(open))
}

/** A part with something in it, and what a signal would clean up. It cannot be closed well. */
async function begun(t: Test) {
  const directory = await temporaryDirectory(t)
  const waiting = new Set<() => void>()
  const beforeSignalEnds = (cleanUp: () => void) => {
    waiting.add(cleanUp)
    return () => void waiting.delete(cleanUp)
  }
  failToClose(t)
  const part = await PartFile.create({ ...silentTerminal, beforeSignalEnds }, join(directory, 'file'), 0o600)
  await part.write(Buffer.from('all of it'))
  return { part, waiting, directory }
}

t.test('a file that cannot be closed is no file that a later signal removes', async (t) => {
  t.test('once it is finished', async (t) => {
    const { part, waiting, directory } = await begun(t)
    t.equal(waiting.size, 1)
    t.match(await part.finish(), { message: 'the disk is gone' })
    t.equal(waiting.size, 0)
    await part.abandon()
    t.equal(await readFile(join(directory, 'file'), 'utf8').catch(() => null), 'all of it')
  })

  t.test('once it is given up', async (t) => {
    const { part, waiting, directory } = await begun(t)
    await t.rejects(part.abandon(), { message: 'the disk is gone' })
    t.equal(waiting.size, 0)
    t.same(await readdir(directory), [])
  })
})
