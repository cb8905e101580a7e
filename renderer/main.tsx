import { createRoot } from 'react-dom/client';
import './tokens.css';
import './base.css';
import './components/components.css';
import './shell/shell.css';
import './voting/voting.css';
import './panels/panels.css';
import './panels/gallery/gallery.css';
import './panels/generate/guided.css';
import './panels/models/models.css';
import { Shell } from './shell/shell.tsx';
import { followEngine } from './state/app.ts';
import { engine } from './state/engine.ts';
import { listenForShortcuts } from './state/shortcuts.ts';
import { applyTheme, useTheme } from './state/theme.ts';

applyTheme(useTheme.getState().theme);
followEngine(engine);
listenForShortcuts();
engine.start();

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no element with the id "root".');
createRoot(root).render(<Shell />);
