"""Children inherit the listed variables, and no secret."""

from iraas.sandbox.environment import decoder_environment, user_environment

SECRETS = {
    "IRAAS_TOKEN": "s", "IRAAS_WEBHOOK_SECRET": "s", "AWS_SECRET_ACCESS_KEY": "s",
    "AWS_SESSION_TOKEN": "s", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s", "GITHUB_TOKEN": "s",
    "DATABASE_URL": "s", "SSH_AUTH_SOCK": "s", "LD_PRELOAD": "s",
}  # fmt: skip
HARMLESS = {"LANG": "C.UTF-8", "LC_ALL": "C", "TMPDIR": "/tmp", "OPENBLAS_NUM_THREADS": "1"}
PERSONAL = {"HOME": "/home/a", "PATH": "/bin", "XDG_CACHE_HOME": "/c", "HTTPS_PROXY": "http://p"}


def test_a_decoding_process_inherits_no_secret_no_folder_and_no_path() -> None:
    mark = {"IRAAS_INSTANCE_ID": "w-1"}
    assert decoder_environment(SECRETS | HARMLESS | PERSONAL | mark) == HARMLESS | mark


def test_a_child_that_works_for_the_user_inherits_no_secret() -> None:
    assert user_environment(SECRETS | HARMLESS | PERSONAL) == HARMLESS | PERSONAL


def test_only_a_child_that_works_on_aws_inherits_the_access_to_it() -> None:
    found = user_environment(SECRETS | HARMLESS, with_aws=True)
    assert found == HARMLESS | {k: v for k, v in SECRETS.items() if k.startswith("AWS_")}
