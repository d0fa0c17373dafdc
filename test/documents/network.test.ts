import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import t from 'tap'
import { root } from '../support/deploy-files.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const refusing = `#!/bin/sh
if [ "$1" = -V ]; then echo 'unshare from util-linux 2.38'; exit 0; fi
echo 'unshare: unshare failed: Operation not permitted' >&2
exit 1
`

t.test(
  'where no network namespace can be made, each page is skipped, with the reason, and does not vanish',
  async (t) => {
    const bin = join(await temporaryDirectory(t), 'bin')
    await mkdir(bin)
    await writeFile(join(bin, 'unshare'), refusing, { mode: 0o755 })
    const path = [bin, dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter)
    const tests = {
      'test/e2e/documents.test.ts': ['README.md', 'docs/HTTP.md', 'docs/OPERATIONS.md'],
      'test/e2e/cluster-doc.test.ts': ['docs/CLUSTER.md'],
    }
    // By itself, without the runner, which would take this run for its own.
    const loaders = process.execArgv.filter((word) => word.startsWith('--import') && !word.includes('processinfo'))
    for (const [test, pages] of Object.entries(tests)) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [...loaders, join(root, test)], {
        cwd: root,
        encoding: 'utf8',
        env: { PATH: path, HOME: process.env['HOME'] ?? '', CI: 'true' },
      })
      t.equal(status, 0, `${test} ends well ${stderr}`)
      const skipped = 'needs a network namespace # SKIP nothing is pasted, for this machine allows none: '
      for (const page of pages) {
        const [, of = ''] = stdout.split(`# Subtest: ${page} does what it says`)
        const [section = ''] = of.split('# Subtest: ')
        t.ok(section.includes(`${skipped}unshare: unshare failed: Operation not permitted\n`), `${page} says so`)
      }
    }
  },
)
