import asyncio


class Session:
    async def __aenter__(self):
        self.token = None
        return self

    async def __aexit__(self, *exc):
        await asyncio.sleep(0)
        return self.token.revoke()


async def main():
    async with Session() as session:
        assert session.token is None


asyncio.run(main())
