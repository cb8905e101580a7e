import { type RefObject, useState } from 'react';
import { Button } from '#renderer/components/button.tsx';
import { Icon } from '#renderer/components/icon.tsx';
import { Kbd } from '#renderer/components/kbd.tsx';
import { useApp } from '#renderer/state/app.ts';
import { cutFromQuery, setQuery, toggleFilter, useGallery } from './gallery-store.ts';

const TAGS_OFFERED = 9;

const quoted = (name: string) => (/\s/.test(name) ? `"${name}"` : name);

/** The search, what it was understood as, and filters to begin with. */
export function SearchBox({ field, leave }: { field: RefObject<HTMLInputElement | null>; leave(): void }) {
  const { query, terms, problems, tags } = useGallery();
  const adapters = useApp((s) => s.adapters) ?? [];
  const [help, setHelp] = useState(false);
  const offered = [
    ['star', '★ starred'],
    ...tags.slice(0, TAGS_OFFERED).map(({ name }) => [`tag:${quoted(name)}`, name]),
    ...(adapters.length > 0 ? [['adapter:none', 'base model']] : []),
    ...adapters.slice(0, 3).map(({ name }) => [`adapter:${quoted(name)}`, name]),
  ] as [string, string][];
  const given = new Set(terms.map(({ label }) => label.toLowerCase()));
  return (
    <search className="gallery-search">
      <div className="gallery-query">
        <Icon name="search" size={16} />
        <input
          ref={field}
          type="text"
          className="input"
          aria-label="Search pictures"
          aria-keyshortcuts="/"
          aria-describedby="gallery-problems"
          aria-invalid={problems.length > 0 || undefined}
          placeholder="Words of the prompt, tag:favourite, seed:123 …"
          spellCheck={false}
          autoComplete="off"
          value={query}
          data-testid="gallery-search"
          onChange={(event) => setQuery(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === 'Escape' || event.key === 'Enter' || event.key === 'ArrowDown') {
              event.preventDefault();
              leave();
            }
          }}
        />
        {query === '' ? (
          <Kbd chord="/" silent />
        ) : (
          <Button
            look="plain"
            size="small"
            iconOnly
            aria-label="Clear the search"
            data-testid="gallery-clear"
            onClick={() => {
              setQuery('');
              field.current?.focus();
            }}
          >
            <Icon name="close" size={14} />
          </Button>
        )}
        <Button
          look="plain"
          size="small"
          iconOnly
          aria-label="How to search"
          aria-expanded={help}
          onClick={() => setHelp(!help)}
        >
          <Icon name="help" size={16} />
        </Button>
      </div>
      <div className="row wrap gallery-filters">
        {terms.map(({ label, from, to }) => (
          <button
            key={`${from}-${to}`}
            type="button"
            className="chip on"
            aria-label={`Remove the filter ${label}`}
            data-testid="gallery-filter"
            onClick={() => cutFromQuery(from, to)}
          >
            {label} ×
          </button>
        ))}
        {offered
          .filter(([filter]) => !given.has(filter.toLowerCase()))
          .map(([filter, name]) => (
            <button
              key={filter}
              type="button"
              className="chip"
              title={filter}
              data-testid="gallery-offer"
              onClick={() => toggleFilter(filter)}
            >
              {name}
            </button>
          ))}
      </div>
      <div id="gallery-problems" className="gallery-problems" role="status">
        {problems.map(({ message, hint, from }) => (
          <p key={from + message} className="small problem" data-testid="gallery-problem">
            {message} <span className="quiet">{hint}</span>
          </p>
        ))}
      </div>
      {help && <SearchHelp />}
    </search>
  );
}

const HELP: readonly (readonly [string, string])[] = [
  ['red tul', 'prompts with words that begin so'],
  ['"deep blue"', 'these very words'],
  ['-vase', 'without it; also before filters: -tag:blurred'],
  ['star', 'starred'],
  ['tag:favourite', 'with this tag'],
  ['model:flora  adapter:none', 'made by these; none is the base model'],
  ['seed:123  seed:100..200', 'from this seed, or these'],
  ['sampler:ddim  size:512x512', 'made so'],
  ['reward:brightness>0.5', 'by its score; score pictures first'],
  ['after:yesterday  before:2026-03-01', 'by the day they were made'],
  ['in:trash', 'what was thrown away'],
];

function SearchHelp() {
  return (
    <dl className="gallery-help">
      {HELP.map(([example, meaning]) => (
        <div key={example}>
          <dt className="mono">{example}</dt>
          <dd className="small quiet">{meaning}</dd>
        </div>
      ))}
    </dl>
  );
}
