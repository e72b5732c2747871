// What makes the console's pages comfortable. Without it, they work as well.
'use strict';

// Times in the reader's zone.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const localize = (root) => {
  for (const element of root.querySelectorAll('time[datetime]')) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = element.dateTime;
    element.textContent = format.format(at);
  }
};

// Values that are copied.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const text = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = 'Copied';
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector('code'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = 'Press Ctrl+C';
  }
  setTimeout(() => { button.textContent = text; }, 1500);
});

// What cannot be taken back is asked for once more.
document.addEventListener('submit', (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

// A form with data-live="/path" sends what is in it there while somebody types, and shows the answer in the element that
// data-into names.
const DELAY = 400;
for (const form of document.querySelectorAll('form[data-live]')) {
  let timer;
  let latest = 0;
  const send = async () => {
    const turn = ++latest;
    const target = document.getElementById(form.dataset.into);
    target.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch(form.dataset.live, {
        method: 'POST',
        body: new URLSearchParams(new FormData(form)),
        headers: { 'Rollcall-Fragment': '1' },
      });
      const text = await answer.text();
      if (turn !== latest) return;
      target.innerHTML = text;
      localize(target);
    } catch {
      if (turn === latest) target.textContent = 'The server does not answer at the moment.';
    } finally {
      if (turn === latest) {
        target.removeAttribute('aria-busy');
        delete form.dataset.pending;
      }
    }
  };
  form.addEventListener('input', () => {
    // The answer to what stood there before is not shown any more.
    latest += 1;
    form.dataset.pending = 'true';
    clearTimeout(timer);
    timer = setTimeout(send, DELAY);
  });
  if (form.dataset.at === 'once') send();
}

// Conditions about claims that somebody has, for an expression: none about those that are the protocol's own.
const PROTOCOL = ['at_hash', 'aud', 'azp', 'c_hash', 'exp', 'iat', 'iss', 'jti', 'nbf', 'nonce', 'sid'];
const conditions = ([name, value]) => {
  if (PROTOCOL.includes(name)) return [];
  const claim = /^[A-Za-z_]\w*$/.test(name) ? `claims.${name}` : `claims[${JSON.stringify(name)}]`;
  if (Array.isArray(value)) {
    return value.filter((item) => typeof item === 'string').map((item) => `${JSON.stringify(item)} in ${claim}`);
  }
  if (typeof value === 'boolean') return [value ? claim : `!${claim}`];
  if (typeof value !== 'string') return [`has(${claim})`];
  const domain = name === 'email' && value.match(/@[^@]+$/)?.[0];
  const whole = `${claim} == ${JSON.stringify(value)}`;
  return domain ? [`${claim}.endsWith(${JSON.stringify(domain)})`, whole] : [whole];
};

// An element with data-complete="id" offers to finish what is being written in that field, with the claims in the field that
// data-from names.
const MOST_OFFERS = 12;
for (const element of document.querySelectorAll('[data-complete]')) {
  const field = document.getElementById(element.dataset.complete);
  const from = document.getElementById(element.dataset.from);
  const begun = () => field.value.slice(0, field.selectionStart).match(/[\w.["]*$/)[0];
  const offers = () => {
    try {
      return Object.entries(JSON.parse(from.value)).flatMap(conditions);
    } catch {
      return [];
    }
  };
  const insert = (text) => {
    field.setRangeText(text, field.selectionStart - begun().length, field.selectionEnd, 'end');
    field.focus();
    field.dispatchEvent(new Event('input', { bubbles: true }));
  };
  const show = () => {
    const word = begun().toLowerCase();
    const fitting = offers().filter((text) => text.toLowerCase().includes(word));
    const buttons = fitting.slice(0, MOST_OFFERS).map((text) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = text;
      button.addEventListener('click', () => insert(text));
      return button;
    });
    element.querySelector('div').replaceChildren(...buttons);
    element.hidden = buttons.length === 0;
  };
  for (const event of ['input', 'click', 'keyup']) field.addEventListener(event, show);
  from.addEventListener('input', show);
  show();
}

// An element with data-feed="/path" shows what the server sends there: each message replaces what is in it, or, with
// data-feed-add, comes first.
for (const element of document.querySelectorAll('[data-feed]')) {
  const source = new EventSource(element.dataset.feed);
  source.addEventListener('replace', (event) => {
    element.innerHTML = event.data;
    localize(element);
  });
  source.addEventListener('add', (event) => {
    element.querySelector('[data-waiting]')?.remove();
    const rows = document.createElement('template');
    rows.innerHTML = event.data;
    // After a pause of the connection, the server begins where it began.
    for (const row of rows.content.querySelectorAll('[id]')) {
      if (document.getElementById(row.id)) row.remove();
    }
    localize(rows.content);
    element.prepend(rows.content);
  });
}

// A <details data-load="/path"> asks for what is in it when somebody opens it.
document.addEventListener('toggle', async (event) => {
  const details = event.target;
  if (!details.open || !details.dataset.load) return;
  const target = details.querySelector('summary + *');
  target.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(details.dataset.load, { headers: { 'Rollcall-Fragment': '1' } });
    target.innerHTML = await answer.text();
    localize(target);
    delete details.dataset.load;
  } catch {
    details.open = false;
  } finally {
    target.removeAttribute('aria-busy');
  }
}, true);

localize(document);
