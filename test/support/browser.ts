import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import type { Owner } from './temporary-directory.ts'

const names = ['chromium', 'chromium-browser', 'google-chrome']

async function findExecutable(): Promise<string | null> {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  for (const path of names.flatMap((name) => folders.map((folder) => join(folder, name)))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  return null
}

/** Why a test that needs a browser is skipped. */
export const NO_BROWSER = 'no Chromium is installed here'

/**
 * A browser without a window that resolves every name ending in `.example` to this machine. Such a name is not `localhost`, so
 * its pages are not secure contexts, like those of a server in a network. Null where no Chromium is installed; in CI it has to be.
 */
export async function openBrowser(owner: Owner): Promise<Browser | null> {
  const executablePath = await findExecutable()
  if (executablePath === null && process.env['CI'] !== undefined) throw new Error(`${NO_BROWSER}, and CI has to try it`)
  if (executablePath === null) return null
  const args = ['--host-resolver-rules=MAP *.example 127.0.0.1', '--disable-dev-shm-usage']
  // Chromium's sandbox does not run as root.
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  const browser = await chromium.launch({ executablePath, args })
  owner.teardown(async () => await browser.close())
  return browser
}
