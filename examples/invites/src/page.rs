//! The pages, as strings.

use crate::Submission;

const STYLE: &str = "body{font:16px system-ui;margin:3rem auto;max-width:40rem}\
    td{padding:.2rem 2rem .2rem 0}";

const INVITE: &str = r"
async function invite(seconds) {
  const reply = await fetch('/invites', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ seconds }),
  });
  const link = document.createElement('a');
  link.href = link.textContent = (await reply.json()).link;
  document.querySelector('#links').append(link, document.createElement('br'));
}
";

/// Nothing guards the button: a double click is two requests, as is a press after going back.
const SUBMIT: &str = r"
async function submit() {
  const token = decodeURIComponent(location.pathname.split('/').pop());
  const name = document.querySelector('#name').value;
  try {
    const reply = await fetch('/submissions', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ token, name }),
    });
    const line = document.createElement('p');
    line.textContent = `${reply.status} ${await reply.text()}`;
    document.querySelector('#said').append(line);
  } catch {
    document.querySelector('#said').textContent = 'No answer: press again, it is safe.';
  }
}
";

pub(crate) fn render(submissions: &[Submission]) -> String {
    let rows: String = submissions
        .iter()
        .map(|row| format!("<tr><td>{}<td>{}", escape(&row.name), escape(&row.id)))
        .collect();
    format!(
        "<!doctype html><meta charset=utf-8><title>Invites</title><style>{STYLE}</style>\
         <h1>Invites</h1>\
         <p><button onclick=invite(604800)>Invite for a week</button> \
         <button onclick=invite(10)>Invite for ten seconds</button></p><p id=links></p>\
         <h2>Submissions</h2><table id=rows>{rows}</table><script>{INVITE}</script>"
    )
}

/// The token is not put into the page: the script takes it from the address.
pub(crate) fn form() -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>You are invited</title><style>{STYLE}</style>\
         <h1>You are invited</h1><p><input id=name value=Ada> \
         <button onclick=submit()>Submit</button> <a href=/>All submissions</a></p>\
         <div id=said></div><script>{SUBMIT}</script>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
