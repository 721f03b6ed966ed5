"""Where the made-up records come from: continents as NCBI Virus names them, some countries of each, US states."""

from random import Random

CONTINENTS: dict[str, tuple[str, ...]] = {
    "Africa": (
        "Angola",
        "Cameroon",
        "Democratic Republic of the Congo",
        "Egypt",
        "Ghana",
        "Guinea",
        "Kenya",
        "Morocco",
        "Nigeria",
        "Rwanda",
        "Senegal",
        "Sierra Leone",
        "South Africa",
        "Uganda",
        "Zambia",
    ),
    "Asia": (
        "Bangladesh",
        "Cambodia",
        "China",
        "Hong Kong",
        "India",
        "Indonesia",
        "Iran",
        "Israel",
        "Japan",
        "Malaysia",
        "Pakistan",
        "Philippines",
        "Saudi Arabia",
        "Singapore",
        "South Korea",
        "Taiwan",
        "Thailand",
        "Turkey",
        "United Arab Emirates",
        "Viet Nam",
    ),
    "Europe": (
        "Austria",
        "Belgium",
        "Denmark",
        "Finland",
        "France",
        "Germany",
        "Greece",
        "Italy",
        "Netherlands",
        "Norway",
        "Poland",
        "Portugal",
        "Russia",
        "Spain",
        "Sweden",
        "Switzerland",
        "United Kingdom",
    ),
    "North America": ("Canada", "Costa Rica", "Cuba", "Guatemala", "Mexico", "Panama", "Puerto Rico", "USA"),
    "Oceania": ("Australia", "Fiji", "New Zealand", "Papua New Guinea"),
    "South America": ("Argentina", "Bolivia", "Brazil", "Chile", "Colombia", "Ecuador", "Peru", "Venezuela"),
}

US_STATES: dict[str, str] = {
    "AZ": "Arizona",
    "CA": "California",
    "CO": "Colorado",
    "FL": "Florida",
    "GA": "Georgia",
    "IL": "Illinois",
    "MA": "Massachusetts",
    "MD": "Maryland",
    "MI": "Michigan",
    "MN": "Minnesota",
    "NY": "New York",
    "OH": "Ohio",
    "PA": "Pennsylvania",
    "TX": "Texas",
    "UT": "Utah",
    "WA": "Washington",
    "WI": "Wisconsin",
}

CONTINENT_OF = {country: continent for continent, countries in CONTINENTS.items() for country in countries}


def pick_place(name: str, random: Random) -> tuple[str, str, str]:
    """(continent, country, US state or "") for a country, or for any country of a continent."""
    country = random.choice(CONTINENTS[name]) if name in CONTINENTS else name
    # One US record in five has no state, as in GenBank.
    state = random.choice(list(US_STATES)) if country == "USA" and random.random() < 0.8 else ""
    return CONTINENT_OF[country], country, state
