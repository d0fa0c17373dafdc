import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'
import { missing, type Reporter } from './missing.ts'
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

/**
 * A browser without a window that resolves every name ending in `.example` to this machine. Such a name is not `localhost`, so
 * its pages are not secure contexts, like those of a server in a network. Null where no Chromium is installed: see `withoutBrowser`.
 */
export async function openBrowser(owner: Owner): Promise<Browser | null> {
  const executablePath = await findExecutable()
  if (executablePath === null) return null
  const args = ['--host-resolver-rules=MAP *.example 127.0.0.1', '--disable-dev-shm-usage']
  // Chromium's sandbox does not run as root.
  if (process.getuid?.() === 0) args.push('--no-sandbox')
  const browser = await chromium.launch({ executablePath, args })
  owner.teardown(async () => await browser.close())
  return browser
}

/** Says that a test cannot be done for want of a browser. */
export function withoutBrowser(t: Reporter): void {
  missing(t, 'Chromium', 'it is not installed here')
}
