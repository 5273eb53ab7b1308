/** The tray's icon and menu, kept equal to what `tray-menu` says. Touches the system only when something changed. */
import type { MenuItemConstructorOptions } from 'electron'
import type { MenuPart, NativeImagePart, TrayConstructor, TrayPart } from './electron-parts.ts'
import { productName } from './text.ts'
import { trayImagePath, trayState } from './tray-image.ts'
import { statusLine, type TrayAction, type TrayItem, type TrayView, trayMenu } from './tray-menu.ts'

export interface ShellTray {
  show(view: TrayView): void
  close(): void
}

export interface TrayComponents {
  readonly Tray: TrayConstructor
  readonly Menu: MenuPart
  readonly nativeImage: NativeImagePart
}
export interface TrayInit {
  readonly resourcesDirectory: string
  readonly platform: NodeJS.Platform
  readonly view: TrayView
  readonly act: (action: TrayAction) => void
}

/** Throws when the system has no place for a tray icon. */
export function createTray(components: TrayComponents, init: TrayInit): ShellTray {
  const imageOf = (view: TrayView) =>
    components.nativeImage.createFromPath(trayImagePath(init.resourcesDirectory, trayState(view), init.platform))
  const tray = new components.Tray(imageOf(init.view))
  let shown = ''
  if (init.platform !== 'darwin') tray.on('click', () => init.act({ type: 'open' }))

  function show(view: TrayView): void {
    const items = trayMenu(view)
    const next = JSON.stringify([trayState(view), items])
    if (next === shown) return
    shown = next
    tray.setImage(imageOf(view))
    tray.setToolTip(`${productName}: ${statusLine(view)}`)
    // Linux shows changes only when the whole menu is set again.
    tray.setContextMenu(components.Menu.buildFromTemplate(items.map((item) => templateOf(item, init.act))))
  }

  show(init.view)
  return { show, close: () => closeTray(tray) }
}

function closeTray(tray: TrayPart): void {
  tray.setContextMenu(null)
  tray.destroy()
}

export function templateOf(item: TrayItem, act: (action: TrayAction) => void): MenuItemConstructorOptions {
  switch (item.kind) {
    case 'text':
      return { label: escaped(item.label), enabled: false }
    case 'action':
      return { label: escaped(item.label), click: () => act(item.action) }
    case 'submenu':
      return { label: escaped(item.label), submenu: item.items.map((inner) => templateOf(inner, act)) }
    case 'separator':
      return { type: 'separator' }
  }
}

/** A lone `&` marks a shortcut key in menus. */
function escaped(label: string): string {
  return label.replaceAll('&', '&&')
}
