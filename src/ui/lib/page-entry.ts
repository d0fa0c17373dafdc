import type { FunctionComponent } from 'preact'

/** A page of the dashboard, and how the navigation names it. */
export interface PageEntry {
  /** In the address: `#/overview`. */
  readonly name: string
  readonly text: string
  readonly view: FunctionComponent
}
