import type { Parcel } from './script-print.ts'
import type { Links } from './script-words.ts'

export interface Selection {
  readonly links: Links
  /** Null: of every type. */
  readonly type: string | null
  readonly which: 'all' | 'first' | 'last'
}

/** The messages in flight, in the order of sending. None arrives by itself. */
export class ScriptNetwork {
  private parcels: Parcel[] = []
  private readonly cutLinks = new Set<string>()
  private readonly heldLinks = new Set<string>()
  private readonly broken = new Set<string>()

  get all(): readonly Parcel[] {
    return this.parcels
  }

  post(parcel: Parcel): void {
    this.parcels.push(parcel)
  }

  /** Takes what is selected off the way; `keep` leaves it there too, so that it arrives again. */
  take({ links, type, which }: Selection, keep = false): Parcel[] {
    const fit = this.parcels.filter(
      (parcel) => links(parcel.from, parcel.to) && (type === null || parcel.type === type),
    )
    const taken = which === 'all' ? fit : fit.slice(which === 'first' ? 0 : -1, which === 'first' ? 1 : undefined)
    if (!keep) this.parcels = this.parcels.filter((parcel) => !taken.includes(parcel))
    return taken
  }

  /** The oldest that may arrive by `links` without being asked for by name. */
  takeNext(may: (parcel: Parcel) => boolean): Parcel | null {
    const at = this.parcels.findIndex((parcel) => !this.isHeld(parcel) && may(parcel))
    return at < 0 ? null : (this.parcels.splice(at, 1)[0] ?? null)
  }

  isHeld({ from, to }: Parcel): boolean {
    return this.heldLinks.has(`${from}>${to}`)
  }

  hold(from: number, to: number): void {
    this.heldLinks.add(`${from}>${to}`)
  }

  release(from: number, to: number): void {
    this.heldLinks.delete(`${from}>${to}`)
  }

  /** Messages sent from now on are lost. Connections stand: no node is told. */
  cut(from: number, to: number): void {
    this.cutLinks.add(`${from}>${to}`)
  }

  isCut(from: number, to: number): boolean {
    return this.cutLinks.has(`${from}>${to}`)
  }

  /** Whether messages are sent at all. */
  carries(from: number, to: number): boolean {
    return !this.isCut(from, to) && this.isConnected(from, to)
  }

  heal(): void {
    this.cutLinks.clear()
  }

  /** Whether the connection from `from` to `to` stands. */
  isConnected(from: number, to: number): boolean {
    return !this.broken.has(`${from}>${to}`)
  }

  disconnect(from: number, to: number): void {
    this.broken.add(`${from}>${to}`)
  }

  connect(from: number, to: number): void {
    this.broken.delete(`${from}>${to}`)
  }
}
