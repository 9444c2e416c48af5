"""A conversation in the terminal: the answers are those that the exam gives."""

import io

from ftlab import Base
from ftlab.exam.generation import Generation, generate
from ftlab.export.talk import talk


def test_the_generation_config_of_a_base_changes_no_answer(chat, monkeypatch, capsys):
    model = Base("ftlab/tiny").load_model()
    [[answer]] = generate(
        model, chat, [chat.prompt([{"role": "user", "content": "Tell a story."}])], Generation(max_new_tokens=24)
    )
    model.generation_config.suppress_tokens = chat.tokenizer.encode(answer, add_special_tokens=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("Tell a story.\n/quit\n"))
    talk(model, chat, max_new_tokens=24)
    assert f"you> {answer}\n" in capsys.readouterr().out
