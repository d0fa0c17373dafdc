import { assert } from './assert.ts'

/** `list[index]`, where the caller knows that the element exists. */
export function elementAt<T>(list: readonly T[], index: number): T {
  const element = list[index]
  assert(element !== undefined, 'an index is within its list')
  return element
}
