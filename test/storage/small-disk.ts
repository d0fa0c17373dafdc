import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { missing } from '../support/missing.ts'

/** A file system of a few megabytes that can be filled, and then made larger. */
export interface SmallDisk {
  readonly path: string
  grow(megabytes: number): void
}

/** Null where this process may not mount anything: the test counts as skipped, and has to end. */
export function smallDisk(t: Test, megabytes: number): SmallDisk | null {
  const path = mkdtempSync(join(tmpdir(), 'quorate-small-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const run = (program: string, ...args: string[]): string | null => {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
    return status === 0 ? null : (error?.message ?? stderr)
  }
  const reason = run('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path)
  if (reason !== null) {
    missing(t, 'mounts', `no mounts here: ${reason.trim()}`)
    return null
  }
  t.teardown(() => run('umount', path))
  return {
    path,
    grow(size) {
      const failed = run('mount', '-o', `remount,size=${size}m`, path)
      if (failed !== null) throw new Error(failed)
    },
  }
}
