import pytest

from appliance.config.generate import GenerateOptions
from appliance.config.options import ConfigError


def test_a_name_goes_with_a_format() -> None:
    GenerateOptions().check_generate()
    GenerateOptions(generate="systemd", generate_name="pi-2").check_generate()
    with pytest.raises(ConfigError, match="--generate-name is for --generate"):
        GenerateOptions(generate_name="pi").check_generate()


@pytest.mark.parametrize("name", ["", "Pi", "pi_2", "2pi", "pi-", "a" * 51])
def test_names_that_are_none_everywhere(name: str) -> None:
    with pytest.raises(ConfigError, match="--generate-name .* 50 at most"):
        GenerateOptions(generate="systemd", generate_name=name).check_generate()


@pytest.mark.parametrize(("of", "package"), [("systemd", "x"), ("cloud-init", "--index-url=x"), ("cloud-init", "a\nb")])
def test_packages_are_for_cloud_init(of: str, package: str) -> None:
    with pytest.raises(ConfigError, match="--generate-package is for --generate cloud-init"):
        GenerateOptions(generate=of, generate_package=package).check_generate()
