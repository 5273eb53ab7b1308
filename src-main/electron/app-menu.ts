/** The application's menu: what a person needs from the system (editing, zoom for small text, full screen), nothing for developers. */
import type { MenuItemConstructorOptions } from 'electron'

export function appMenu(platform: NodeJS.Platform): MenuItemConstructorOptions[] {
  const view: MenuItemConstructorOptions = {
    label: 'View',
    submenu: [
      { role: 'resetZoom' },
      { role: 'zoomIn' },
      { role: 'zoomOut' },
      { type: 'separator' },
      { role: 'togglefullscreen' },
    ],
  }
  if (platform === 'darwin') return [{ role: 'appMenu' }, { role: 'editMenu' }, view, { role: 'windowMenu' }]
  return [{ label: 'File', submenu: [{ role: 'quit' }] }, { role: 'editMenu' }, view]
}
