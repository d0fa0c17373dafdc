import type { GrantView, SelfAnswer } from '../../client/api-types.ts'
import { sendForJson } from '../api/request.ts'
import { useReading } from './use-reading.ts'

async function readSelf(signal: AbortSignal): Promise<SelfAnswer> {
  return await sendForJson({ path: '/auth/self', signal })
}

/** What the token of this page allows. Null: it is not known yet. */
export function useSelf(): SelfAnswer | null {
  const { reading } = useReading('self', readSelf)
  return reading.kind === 'read' ? reading.value : null
}

/** The grants that allow to read something. */
export function readableIn({ grants }: SelfAnswer): readonly GrantView[] {
  return grants.filter(({ access }) => access !== 'write')
}

/** Whether there may be keys that this page is not shown. */
export function isBlindToSome(self: SelfAnswer): boolean {
  return self.enabled && !readableIn(self).some(({ prefix }) => prefix === '')
}
