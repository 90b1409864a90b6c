from appliance.config.shared import LicenceOptions


def test_any_licence_flag_counts() -> None:
    assert not LicenceOptions().licence_given
    assert LicenceOptions(license="").licence_given
    assert LicenceOptions(license_file="x").licence_given
    assert LicenceOptions(license_env="X").licence_given
