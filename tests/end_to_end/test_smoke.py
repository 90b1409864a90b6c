from tests.end_to_end.house import House
from tests.stage.visitor import get


def test_one(house: House) -> None:
    up = house.upstream()
    house.client(f"a.example={up.url}")
    assert house.ask(get("/x", "a.example")).body == b"/x"
    v = house.visitor()
    for i in range(50):
        assert v.ask(get(f"/{i}", "a.example")).body == f"/{i}".encode()
    assert up.connections <= 2
