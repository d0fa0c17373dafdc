/**
 * JavaScript for a page: the texts whose contrast with what is behind them is below 4.5 (WCAG AA), each with its colours. Text in a drawing has
 * its colour in `fill`. Disabled controls are exempt.
 */
export const findFaintText = `(() => {
  const channels = (colour) => {
    const canvas = document.createElement('canvas').getContext('2d')
    canvas.fillStyle = colour
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((value) => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    for (let one = element; one !== null; one = one.parentElement) {
      const { backgroundColor } = getComputedStyle(one)
      if (channels(backgroundColor)[3] === 255) return backgroundColor
    }
    return 'white'
  }
  const isShown = (element) => element.checkVisibility() && !element.closest('.unseen, .skip, :disabled, [inert]')
  const faint = new Set()
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    const text = walker.currentNode.data.trim()
    if (text === '' || element === null || !isShown(element)) continue
    const style = getComputedStyle(element)
    const isDrawn = element instanceof SVGElement
    const colour = isDrawn ? style.fill : style.color
    const shape = isDrawn ? element.parentElement.querySelector('circle, rect') : null
    const isInside = shape !== null && element.classList.contains('id')
    const ground = isInside ? getComputedStyle(shape).fill : behind(element)
    const [light, dark] = [luminance(colour), luminance(ground)].sort((a, b) => b - a)
    const ratio = (light + 0.05) / (dark + 0.05)
    if (ratio < 4.5) faint.add(text.slice(0, 40) + ': ' + colour + ' on ' + ground + ' is ' + ratio.toFixed(2))
  }
  return [...faint]
})()`
