from tests.contract import Case

CASES: tuple[Case, ...] = ()
