import { Store } from './store.ts'

export type Theme = 'system' | 'light' | 'dark'

const NAME = 'quorate-theme'
const themes: readonly Theme[] = ['system', 'light', 'dark']

export const theme = new Store<Theme>(stored())

/** Shows the page in the theme that was chosen, also in later visits. */
export function chooseTheme(chosen: Theme): void {
  theme.set(chosen)
  try {
    localStorage.setItem(NAME, chosen)
  } catch {
    // A browser that keeps nothing shows the theme of the system next time.
  }
  applyTheme()
}

export function applyTheme(): void {
  const { dataset } = document.documentElement
  if (theme.value === 'system') delete dataset['theme']
  else dataset['theme'] = theme.value
}

function stored(): Theme {
  try {
    const name = localStorage.getItem(NAME)
    return themes.find((one) => one === name) ?? 'system'
  } catch {
    return 'system'
  }
}
