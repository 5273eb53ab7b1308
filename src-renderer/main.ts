/** Starts the page: picks the way to the node, connects, draws. */
import './zod-setup.ts'
import './styles/tokens.css'
import './styles/base.css'
import { mount } from 'svelte'
import App from './App.svelte'
import { createConnection } from './client/connection.ts'
import { openElectronLink } from './client/electron-link.ts'
import { waitWhileVisible } from './client/wait.ts'
import { openWebSocketLink } from './client/websocket-link.ts'
import { createApp } from './state/app.svelte.ts'

const bridge = window.quiltbee
const connection = createConnection({
  openLink:
    bridge === undefined ? () => openWebSocketLink(location.origin) : (signal) => openElectronLink(bridge, signal),
  wait: waitWhileVisible,
  nowMs: () => Date.now(),
})
const app = createApp(connection, bridge !== undefined)
connection.start()

const target = document.getElementById('app')
if (target !== null) mount(App, { target, props: { app } })
