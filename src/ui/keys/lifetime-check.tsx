import { Check } from '../parts/field.tsx'
import type { Lifetime } from './lifetime.ts'

interface LifetimeCheckProps {
  /** The lifetime that the key has, or had when it was there last. */
  readonly lifetime: Lifetime
  readonly isKept: boolean
  readonly onChange: (isKept: boolean) => void
}

/** Asks whether a key stays with its lease. A write that says nothing of a lease would set it free. */
export function LifetimeCheck({ lifetime, isKept, onChange }: LifetimeCheckProps) {
  if (lifetime.kind === 'unlimited') return null
  return (
    <Check
      label={lifetime.kind === 'own' ? 'Begin its time to live again' : `Keep it with lease ${lifetime.lease}`}
      hint="Otherwise it stays until it is deleted."
      checked={isKept}
      onChange={onChange}
    />
  )
}
