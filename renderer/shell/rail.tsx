import { Icon } from '#renderer/components/icon.tsx';
import { go, places, useNavigation } from '#renderer/state/navigation.ts';
import { setTheme, themes, useTheme } from '#renderer/state/theme.ts';
import { placeNames } from './place-names.ts';

const themeIcons = { system: 'system', light: 'sun', dark: 'moon' } as const;

export function Rail({ showHelp }: { showHelp(): void }) {
  const here = useNavigation((s) => s.place);
  const theme = useTheme((s) => s.theme);
  const nextTheme = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system';
  return (
    <nav className="rail" aria-label="Places">
      <ul>
        {places.map((place, i) => (
          <li key={place}>
            <button
              type="button"
              className="rail-button"
              aria-current={place === here ? 'page' : undefined}
              aria-keyshortcuts={`Control+${i + 1}`}
              title={`${placeNames[place]} (Ctrl+${i + 1})`}
              data-testid={`rail-${place}`}
              onClick={() => go(place)}
            >
              <Icon name={place} size={22} />
              {placeNames[place]}
            </button>
          </li>
        ))}
      </ul>
      <div className="rail-foot">
        <button
          type="button"
          className="rail-button"
          aria-label={`Colours: ${theme}. Change to ${nextTheme}`}
          title={`Colours: ${theme}`}
          data-testid="theme-switch"
          onClick={() => setTheme(nextTheme)}
        >
          <Icon name={themeIcons[theme]} />
        </button>
        <button
          type="button"
          className="rail-button"
          aria-label="Keyboard shortcuts"
          aria-keyshortcuts="?"
          title="Keyboard shortcuts (?)"
          data-testid="show-shortcuts"
          onClick={showHelp}
        >
          <Icon name="help" />
        </button>
      </div>
    </nav>
  );
}
