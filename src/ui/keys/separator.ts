const NAME = 'quorate-separator'
const USUAL = '/'

/** The separator that was chosen last in this browser. */
export function rememberedSeparator(): string {
  try {
    return localStorage.getItem(NAME) ?? USUAL
  } catch {
    return USUAL
  }
}

export function rememberSeparator(separator: string): void {
  try {
    localStorage.setItem(NAME, separator)
  } catch {
    // A browser that keeps nothing begins with the usual one next time.
  }
}
