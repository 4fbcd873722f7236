//! Conversations to prompts: the model's own chat template and, for MedPsy, the medical policy before it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use super::error::MedPsyError;
use super::policy::{PERSONA, check_text};
use crate::model::Tokenizer;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who set the model up.
    System,
    /// The same, in newer words.
    Developer,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What.
    pub content: String,
}

impl Message {
    /// A user's turn.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }
}

/// The form of a conversation where a file has no template of its own: Qwen's.
const CHAT_ML: &str = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + \
    '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/// What ends an assistant's thoughts.
const THOUGHT_END: &str = "</think>";

/// The prompt of a conversation with a MedPsy model: checked against the policy, opened by the persona.
///
/// # Errors
/// When the policy refuses a turn, a turn holds special tokens, or the template cannot render the conversation.
pub fn medical_prompt(tokenizer: &Tokenizer, messages: &[Message]) -> Result<String, MedPsyError> {
    messages.iter().try_for_each(|message| check_text(&message.content))?;
    let prompt = prompt(tokenizer, messages)?;
    if opens_with_persona(&prompt) {
        return Ok(prompt);
    }
    // A template that does not bring the persona is given it.
    let (before, turns): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|message| matches!(message.role, Role::System | Role::Developer));
    let lines: Vec<&str> =
        std::iter::once(PERSONA).chain(before.iter().map(|message| message.content.as_str())).collect();
    let system = Message { role: Role::System, content: lines.join("\n\n") };
    let with_persona: Vec<Message> = std::iter::once(system).chain(turns.into_iter().cloned()).collect();
    let prompt = self::prompt(tokenizer, &with_persona)?;
    if opens_with_persona(&prompt) {
        return Ok(prompt);
    }
    Err(MedPsyError::Template { reason: "it leaves out the persona".to_owned() })
}

/// Whether the first turn is a system's that begins with the persona.
fn opens_with_persona(prompt: &str) -> bool {
    let opening = prompt.trim_start().strip_prefix("<|im_start|>system");
    opening.is_some_and(|text| text.trim_start().starts_with(PERSONA))
}

/// The prompt of a conversation, as the file's template, or Qwen's, renders it; the assistant speaks next.
///
/// # Errors
/// When there is no turn, a turn holds special tokens, or the template cannot render the conversation.
pub fn prompt(tokenizer: &Tokenizer, messages: &[Message]) -> Result<String, MedPsyError> {
    let special: Vec<String> = tokenizer.special_tokens().iter().map(|id| tokenizer.decode(&[*id])).collect();
    let messages = messages
        .iter()
        .map(|message| {
            let content = match message.role {
                Role::Assistant => without_thoughts(&message.content),
                _ => &message.content,
            };
            // Written out in a turn they would count as the conversation's own structure.
            match special.iter().find(|token| divides(token) && content.contains(token.as_str())) {
                Some(token) => Err(MedPsyError::ControlText { found: token.clone() }),
                None => Ok(Message { role: message.role, content: content.to_owned() }),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        return Err(MedPsyError::InvalidRequest {
            expected: "a conversation of at least one turn",
            found: "none".to_owned(),
        });
    }
    let template = tokenizer.chat_template().unwrap_or(CHAT_ML);
    render(template, &messages).map_err(|error| MedPsyError::Template {
        reason: format!("{error:#}").lines().next().unwrap_or_default().to_owned(),
    })
}

/// Whether a special token is one of a conversation's structure, as `<|im_end|>` is.
fn divides(token: &str) -> bool {
    token.starts_with("<|") && token.ends_with("|>")
}

fn render(template: &str, messages: &[Message]) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // Templates are written for Python's Jinja: its string methods, its treatment of line ends.
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_function("raise_exception", |reason: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, reason))
    });
    environment.set_fuel(Some(10_000_000));
    environment.add_template("chat", template)?;
    environment.get_template("chat")?.render(context! {
        messages => Serde(messages),
        add_generation_prompt => true,
    })
}

/// What an assistant said behind its thoughts.
fn without_thoughts(content: &str) -> &str {
    content.rsplit_once(THOUGHT_END).map_or(content, |(_, said)| said.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_dropped_and_what_was_said_stays() {
        assert_eq!(without_thoughts("<think>\nhm\n</think>\n\nYes."), "Yes.");
        assert_eq!(without_thoughts("Yes."), "Yes.");
    }

    #[test]
    fn templates_for_python_are_rendered() {
        let template = "{%- set ns = namespace(last=0) %}{%- for m in messages[::-1] %}{%- if m.role == 'user' %}\
            {%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}{%- if messages[0].content.startswith('a') %}\
            {{- messages[0].content.split('-')[-1].lstrip('x') }}{%- endif %}{{- ns.last }}";
        let rendered = render(template, &[Message::user("a-xb")]).unwrap();
        assert_eq!(rendered, "b0");
        // As Qwen3's takes thoughts from a turn.
        let template = "{%- for m in messages %}{%- if m.content is string and '</t>' in m.content and not m.tools %}\
            {{- m.content.split('</t>')[0].rstrip('\\n').split('<t>')[-1].lstrip('\\n') }}{%- endif %}\
            {%- if loop.last or not enable_thinking is defined %}{{- '|' + m.role }}{%- endif %}{%- endfor %}";
        let rendered = render(template, &[Message::user("<t>\nhm\n</t>yes"), Message::user("b")]).unwrap();
        assert_eq!(rendered, "hm|user|user");
        let failed = render("{{ raise_exception('no') }}", &[Message::user("a")]).unwrap_err();
        assert!(failed.to_string().contains("no"), "{failed}");
    }

    #[test]
    fn the_persona_has_to_open_the_first_turn() {
        let prompt = |system: &str| format!("<|im_start|>system\n{system}<|im_end|>\n");
        assert!(opens_with_persona(&prompt(PERSONA)));
        assert!(opens_with_persona(&prompt(&format!("{PERSONA}\n\nBe short."))));
        assert!(!opens_with_persona(&prompt(&format!("Forget this: {PERSONA}"))));
        assert!(!opens_with_persona(PERSONA));
    }
}
