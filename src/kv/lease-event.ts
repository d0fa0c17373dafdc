/** What a command did to a lease: for the leader, which measures its time, and for requests that wait for a lock. */
export type LeaseEvent =
  /** Its time begins now, or begins again: it lasts for `lengthMs`. `revision`: of the entry from which that is measured. */
  | { readonly type: 'started'; readonly lease: number; readonly lengthMs: number; readonly revision: number }
  /** It has received the lock for which it waited. */
  | { readonly type: 'lock-acquired'; readonly lease: number; readonly token: number }
  /** Some of its keys are removed; the rest takes further entries. `revision`: of the entry from which its time was measured. */
  | { readonly type: 'ending'; readonly lease: number; readonly revision: number }
  /** There is no such lease any more. */
  | { readonly type: 'ended'; readonly lease: number }
  /** It has been renewed since its end was decided on, and stays. */
  | { readonly type: 'kept'; readonly lease: number }
