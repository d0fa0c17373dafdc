interface Preference {
  readonly weight: number
  /** 2: the type itself, 1: its group, 0: anything. */
  readonly exactness: number
}

const REFUSED: Preference = { weight: 0, exactness: -1 }

/**
 * Selects one of `offers` by an `Accept` header (RFC 9110, 12.5.1). The first offer is the default: it wins when the header is
 * absent, mentions none of the offers, or accepts anything. At equal weight a type named in full wins, because clients that
 * name a type and add a wildcard mean the type.
 */
export function negotiate<const Offer extends string>(
  accept: string | undefined,
  offers: readonly [Offer, ...Offer[]],
): Offer {
  const [first] = offers
  if (accept === undefined || accept === '*/*') return first
  const ranges = accept.toLowerCase().split(',')
  let best: Offer = first
  let bestPreference = REFUSED
  for (const offer of offers) {
    const preference = preferenceFor(offer, ranges)
    if (preference.weight > bestPreference.weight || isMoreExact(preference, bestPreference)) {
      best = offer
      bestPreference = preference
    }
  }
  return best
}

/**
 * Whether an `Accept-Encoding` header accepts a content coding (RFC 9110, 12.5.3), by its name or else by `*`. A client that sends no such
 * header is sent the content as it is.
 */
export function acceptsCoding(header: string | string[] | undefined, coding: string): boolean {
  const ranges = String(header ?? '')
    .toLowerCase()
    .split(',')
    .map((range) => range.split(';').map((part) => part.trim()))
  const range = ranges.find(([name]) => name === coding) ?? ranges.find(([name]) => name === '*')
  return range !== undefined && weightIn(range) > 0
}

function isMoreExact(preference: Preference, other: Preference): boolean {
  return preference.weight > 0 && preference.weight === other.weight && preference.exactness > other.exactness
}

function preferenceFor(offer: string, ranges: readonly string[]): Preference {
  const group = `${offer.slice(0, offer.indexOf('/'))}/*`
  let found = REFUSED
  for (const range of ranges) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim())
    const exactness = type === offer ? 2 : type === group ? 1 : type === '*/*' ? 0 : -1
    if (exactness > found.exactness) found = { weight: weightIn(parameters), exactness }
  }
  return found
}

function weightIn(parameters: readonly string[]): number {
  const text = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  const weight = text === undefined ? 1 : Number(text)
  return weight >= 0 && weight <= 1 ? weight : 0
}
